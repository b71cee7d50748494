"""The options of the family, described in docs/gpt_sovits.md, and the files that they name."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from deployments.contract.errors import CheckpointError, ConfigError
from deployments.families.gpt_sovits.checkpoints import Version

# the places of the published files in their folder, by version: GPT, then SoVITS
_V3_GPT = "s1v3.ckpt"
PUBLISHED: dict[Version, tuple[str, str]] = {
    "v1": ("s1bert25hz-2kh-longer-epoch=68e-step=50232.ckpt", "s2G488k.pth"),
    "v2": (
        "gsv-v2final-pretrained/s1bert25hz-5kh-longer-epoch=12-step=369668.ckpt",
        "gsv-v2final-pretrained/s2G2333k.pth",
    ),
    "v2Pro": (_V3_GPT, "v2Pro/s2Gv2Pro.pth"),
    "v2ProPlus": (_V3_GPT, "v2Pro/s2Gv2ProPlus.pth"),
    "v3": (_V3_GPT, "s2Gv3.pth"),
    "v4": (_V3_GPT, "gsv-v4-pretrained/s2Gv4.pth"),
}


class GptSovitsOptions(BaseModel):
    """model_dir: the folder of pretrained models. Other paths are absolute, begin with ~, or lie in it.

    version: whose published files are used where gpt or sovits is not given; it must be the version of the SoVITS file.
    base: the full model of a LoRA file. ap_bwe: the folder of the bandwidth extension, with which v3 speaks at 48 kHz
    instead of 24 kHz. noise_scale: of the decoder's prior. max_phones: of a transcript and a segment together;
    max_codes: of a segment, 25 to the second.
    """

    model_config = ConfigDict(extra="forbid")
    model_dir: Path
    version: Version | None = None
    gpt: Path | None = None
    sovits: Path | None = None
    base: Path | None = None
    hubert: Path = Path("chinese-hubert-base")
    bert: Path = Path("chinese-roberta-wwm-ext-large")
    speaker: Path = Path("sv/pretrained_eres2netv2w24s4ep4.ckpt")
    bigvgan: Path = Path("models--nvidia--bigvgan_v2_24khz_100band_256x")
    hifigan: Path = Path("gsv-v4-pretrained/vocoder.pth")
    ap_bwe: Path | None = None
    text: Literal["mixed", "published"] = "mixed"
    noise_scale: Annotated[float, Field(ge=0, le=2)] = 0.5
    max_phones: Annotated[int, Field(ge=64, le=2000)] = 512
    max_codes: Annotated[int, Field(ge=25, le=2000)] = 1000

    @property
    def folder(self) -> Path:
        """Raises ConfigError if it is not absolute, CheckpointError if it does not exist."""
        folder = _expanded(self.model_dir, "model_dir")
        if not folder.is_absolute():  # replicas run in working directories of their own
            given = str(self.model_dir)
            raise ConfigError(
                f"family.options.model_dir: {given!r} must be an absolute path, or begin with ~"
            )
        if not folder.is_dir():
            raise CheckpointError(f"family.options.model_dir: folder {folder.name!r} does not exist")
        return folder

    def path(self, name: str, version: Version | None = None) -> Path:
        """The file or folder of the option `name`, else the published one of `version`. Raises CheckpointError."""
        given = getattr(self, name) or self._published(name, version or self.version)
        path = self.folder / _expanded(given, name)
        if not path.exists():
            raise CheckpointError(f"family.options.{name}: {path.name!r} not found")
        return path

    def _published(self, name: str, version: Version | None) -> Path:
        if version is None:
            raise ConfigError(
                f"family.options.{name}: give it, or a version whose published file is to be used"
            )
        return Path(PUBLISHED[version][name != "gpt"])


def _expanded(path: Path, name: str) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigError(f"family.options.{name}: {str(path)!r} names an unknown user") from None
