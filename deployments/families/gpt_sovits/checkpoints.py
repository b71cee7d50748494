"""The two files of a GPT-SoVITS voice model, "s1" (GPT) and "s2" (SoVITS): their version, config and tensors."""

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.contract.errors import CheckpointError
from deployments.families.gpt_sovits.header import Header, HParams, archive_of, read_header
from deployments.families.options import fault

if TYPE_CHECKING:
    from torch import Tensor

Version = Literal["v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4"]
Symbols = Literal["v1", "v2"]
VERSIONS: tuple[Version, ...] = get_args(Version)
SYMBOL_COUNTS: dict[Symbols, int] = {"v1": 322, "v2": 732}
SPECTROGRAM_BINS = {"v1": 1025}  # that the style encoder sees; 704 in all others

# md5 of the first 8192 bytes of published files whose content does not say which they are
_PUBLISHED: dict[str, Version] = {
    "43797be674a37c1c83ee81081941ed0f": "v3",
    "4f26b9476d0c5033e04162c486074374": "v4",
}
_MARKS: dict[bytes, Version] = {
    b"02": "v3",
    b"03": "v3",
    b"04": "v4",
}
_TEXT = "enc_p.text_embedding.weight"
_GENERATOR_WEIGHT = "dec.ups.0.weight_v"
_PLUS_KERNEL = 20  # of the first upsampling layer
_LORA = re.compile(r"\.lora_[AB]\.")

Count = Annotated[int, Field(gt=0)]
Config = TypeVar("Config", bound=BaseModel)


class _Loose(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class SovitsConfig(_Loose):
    """What an s2 file's config says and the shapes of its tensors do not."""

    n_heads: Count = 2
    resblock: Literal["1"] = "1"
    resblock_kernel_sizes: tuple[Count, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[Count, Count, Count], ...] = ((1, 3, 5),) * 3
    upsample_rates: tuple[Count, ...] = (10, 8, 2, 2, 2)
    version: str = ""


class GptConfig(_Loose):
    """What an s1 file's config says and the shapes of its tensors do not."""

    head: Count
    EOS: Count = 1024


@dataclass(frozen=True, slots=True)
class SovitsFile:
    """An s2 file by its header. lora_rank: None for a full model."""

    path: Path
    version: Version
    symbols: Symbols
    config: SovitsConfig
    shapes: Mapping[str, tuple[int, ...]]
    lora_rank: int | None = None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def pro(self) -> bool:
        """Whether a voice has a speaker embedding too."""
        return self.version in ("v2Pro", "v2ProPlus")

    @property
    def cfm(self) -> bool:
        """Whether the decoder is flow matching and a mel vocoder, instead of a VITS."""
        return self.version in ("v3", "v4")

    def tensors(self) -> "dict[str, Tensor]":
        """Of inference, in float32, with weight norm as it is in the file."""
        return _tensors(self.path)


@dataclass(frozen=True, slots=True)
class GptFile:
    """An s1 file by its header."""

    path: Path
    config: GptConfig
    shapes: Mapping[str, tuple[int, ...]]  # without the prefix "model."

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def phones(self) -> int:
        """Rows of the phone embedding."""
        return self.shapes["ar_text_embedding.word_embeddings.weight"][0]

    @property
    def bert_width(self) -> int:
        return self.shapes["bert_proj.weight"][1]

    def tensors(self) -> "dict[str, Tensor]":
        return {name.removeprefix("model."): tensor for name, tensor in _tensors(self.path).items()}


def read_sovits(path: Path) -> SovitsFile:
    """Raises CheckpointError if it is not an s2 file."""
    header = read_header(path)
    if any(name.startswith("model.") for name in header.shapes):
        raise CheckpointError(f"{path.name}: a GPT file (s1); sovits needs an s2 file")
    config = _validated(SovitsConfig, header.config.get("model"), path.name)
    version, symbols = version_of(header, config), symbols_of(header)
    rank = header.lora_rank
    if rank is None and any(_LORA.search(name) for name in header.shapes):
        raise CheckpointError(f"{path.name}: has LoRA weights but no lora_rank")
    return SovitsFile(path, version, symbols, config, header.shapes, rank)


def read_gpt(path: Path) -> GptFile:
    """Raises CheckpointError if it is not an s1 file."""
    header = read_header(path)
    if "model.ar_predict_layer.weight" not in header.shapes:
        raise CheckpointError(f"{path.name}: not a GPT file (s1): model.ar_predict_layer.weight is missing")
    config = _validated(GptConfig, header.config.get("model"), path.name)
    shapes = {name.removeprefix("model."): shape for name, shape in header.shapes.items()}
    codes = shapes["ar_predict_layer.weight"][0]
    if codes - 1 != config.EOS:
        raise CheckpointError(f"{path.name}: EOS is {config.EOS}, but must be the last of {codes} codes")
    return GptFile(path, config, shapes)


def check_pair(gpt: GptFile, sovits: SovitsFile) -> None:
    """Raises CheckpointError if the GPT was trained with another symbol table than the SoVITS file's."""
    needed, others = SYMBOL_COUNTS[sovits.symbols], SYMBOL_COUNTS["v2"]
    if (gpt.phones < needed) or (sovits.symbols == "v1" and gpt.phones >= others):
        wants = "fewer than 732" if sovits.symbols == "v1" else "at least 732"
        raise CheckpointError(
            f"{gpt.name}: its {gpt.phones} phones do not match {sovits.name} ({sovits.version}),"
            f" which needs a GPT with {wants}"
        )


def version_of(header: Header, config: SovitsConfig) -> Version:
    """By content where that decides; a v3 from a v4 by hash, mark and config, in this order.

    The published code also goes by the size of a file, which a fine-tuned v4 misleads.
    """
    names = header.shapes
    if "sv_emb.weight" in names:
        plus = config.version == "v2ProPlus" or names.get(_GENERATOR_WEIGHT, (0,))[-1] == _PLUS_KERNEL
        return "v2ProPlus" if plus else "v2Pro"
    if any(name.startswith("cfm.") for name in names):
        said = config.version
        named: Version = "v4" if said == "v4" else "v3"
        return _PUBLISHED.get(header.digest) or _MARKS.get(header.mark) or named
    if _GENERATOR_WEIGHT not in names:
        raise CheckpointError(f"{header.file}: not a SoVITS file (s2): it has no decoder")
    return "v1" if symbols_of(header) == "v1" else "v2"


def symbols_of(header: Header) -> Symbols:
    """The symbol table, by the rows of the phone embedding. A LoRA file has none."""
    rows = header.shapes.get(_TEXT, (SYMBOL_COUNTS["v2"],))[0]
    if rows not in SYMBOL_COUNTS.values():
        allowed = " or ".join(map(str, SYMBOL_COUNTS.values()))
        raise CheckpointError(f"{header.file}: {_TEXT} has {rows} rows, must have {allowed}")
    return "v1" if rows == SYMBOL_COUNTS["v1"] else "v2"


def _validated(model: type[Config], content: Any, file: str) -> Config:
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: its config has no section 'model'")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(f"{file}: config.model.{fault(error)}") from None


def _tensors(path: Path) -> "dict[str, Tensor]":
    import torch

    allowed: list[Any] = [(HParams, "utils.HParams")]
    try:
        with archive_of(path) as source, torch.serialization.safe_globals(allowed):
            content = torch.load(source, map_location="cpu", weights_only=True)
        return {name: tensor.float() for name, tensor in content["weight"].items()}
    except pickle.UnpicklingError:
        raise CheckpointError(f"{path.name}: refused: it contains more than tensors") from None
    except Exception as error:  # a damaged archive or pickle can raise anything
        kind = type(error).__name__
        raise CheckpointError(
            f"{path.name}: cannot be read: truncated, or not a checkpoint ({kind})"
        ) from None
