"""VoxCPM 0.5B, 1.5 and 2: loads its four parts from a published checkpoint folder, which the user brings."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deployments.contract.controls import RETRY, Control
from deployments.contract.device import Device
from deployments.contract.errors import CheckpointError, ConfigError
from deployments.contract.family import FamilySpec, Frontend, GptModel, VocoderModel, VoiceEncoder
from deployments.contract.speech import VoicePrompt
from deployments.families.options import checked
from deployments.families.voxcpm.config import LATENT_RATE, MAX_SECONDS, MIN_SECONDS, RATIO, read_config
from deployments.families.voxcpm.modes import PROMPT, REFERENCE, TRANSCRIPT, controls
from deployments.families.voxcpm.text.frontend import LANGUAGES, VoxFrontend
from deployments.families.voxcpm.text.tokenizer import Tokenizer

TOKENIZER = "tokenizer.json"
MAX_TOKENS = 2000
POSITIONS = 2048

CONTROLS = (
    Control("cfg_value", "number", 2.0, "guidance: how closely the sound follows text and voice", 0.1, 10),
    Control(
        "inference_timesteps",
        "integer",
        10,
        "diffusion steps of each patch, fixed at load",
        2,
        100,
        scope="load",
    ),
    Control("min_len", "integer", 2, "a segment does not end within this many patches and one more", 0, 1000),
    Control("max_len", "integer", MAX_TOKENS, "a segment ends after this many patches", 1, MAX_TOKENS),
    Control(RETRY, "boolean", True, "repeat a segment that does not end, once, with another seed"),
)


class VoxOptions(BaseModel):
    """Options of the family, described in docs/voxcpm.md. model_dir: the checkpoint's folder."""

    model_config = ConfigDict(extra="forbid")
    model_dir: Path
    lora_dir: Path | None = None
    normalize: bool = False
    max_text_tokens_per_segment: Annotated[int, Field(ge=10, le=1000)] | None = 80
    max_length: Annotated[int, Field(ge=64, le=1 << 17)] = POSITIONS


class VoxFamily:
    """Implements Family; `spec` and `frontend()` import no torch. Raises ConfigError for a wrong folder or file."""

    def __init__(self, options: VoxOptions) -> None:
        self.options = options
        self.folder = _folder(options.model_dir, "model_dir")
        self.lora = None if options.lora_dir is None else _folder(options.lora_dir, "lora_dir")
        self.config = read_config(self.folder)
        if not (self.folder / TOKENIZER).is_file():
            raise CheckpointError(f"{TOKENIZER}: not found in the model folder")
        self.context = min(options.max_length, self.config.max_length)

    @cached_property
    def spec(self) -> FamilySpec:
        config = self.config
        return FamilySpec(
            name="voxcpm",
            sample_rate=config.audio_vae_config.out_rate,
            codes_per_second=LATENT_RATE / config.patch_size,
            samples_per_code=config.samples_per_patch,
            left_context=0,
            right_context=0,
            languages=LANGUAGES,
            max_tokens=MAX_TOKENS,
            min_reference_seconds=MIN_SECONDS,
            max_reference_seconds=MAX_SECONDS,
            plausible_codes=(0.0, float(RATIO)),
            controls=CONTROLS + controls(config.version),
            state_home="replica",
            needs_transcript=config.version == 1,
            half_on_cpu=True,
        )

    def frontend(self, device: Device | None = None) -> Frontend:
        return VoxFrontend(self._tokenizer, self.options.max_text_tokens_per_segment, self.options.normalize)

    def example_prompt(self) -> VoicePrompt:
        patches = np.zeros((4, self.config.patch_size, self.config.feat_dim), np.float32)
        arrays = {PROMPT: patches, TRANSCRIPT: np.frombuffer(b"a", np.uint8)}
        return VoicePrompt.of("voxcpm", arrays | ({REFERENCE: patches} if self.config.version == 2 else {}))

    def voice_encoder(self, device: Device) -> VoiceEncoder:
        from deployments.families.voxcpm.checkpoint import read_vae
        from deployments.families.voxcpm.voice import VoxVoiceEncoder

        return VoxVoiceEncoder(read_vae(self.folder, self.config), self.config, device.torch_device)

    def gpt(self, device: Device, slots: int) -> GptModel:
        from deployments.families.voxcpm.checkpoint import read_lm
        from deployments.families.voxcpm.gpt import VoxGpt

        tensors, file = read_lm(self.folder, self.lora)
        return VoxGpt(
            tensors,
            self.config,
            self._tokenizer,
            device,
            slots,
            context=self.context,
            steps=int(self.spec.defaults["inference_timesteps"]),
            file=file,
        )

    def vocoder(self, device: Device) -> VocoderModel:
        from deployments.families.voxcpm.checkpoint import read_vae
        from deployments.families.voxcpm.vocoder import VoxVocoder

        decoder = read_vae(self.folder, self.config).decoder(device.torch_device)
        return VoxVocoder(decoder, self.config)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.folder / TOKENIZER, self.config.lm_config.vocab_size)


def _folder(path: Path, option: str) -> Path:
    """Raises ConfigError if it is not an absolute path of a folder."""
    given = f"family.options.{option}: {str(path)!r}"
    try:
        folder = path.expanduser()
    except RuntimeError:
        raise ConfigError(f"{given} names an unknown user") from None
    if not folder.is_absolute():  # replicas run in working directories of their own
        raise ConfigError(f"{given} must be an absolute path, or begin with ~")
    if not folder.is_dir():
        raise CheckpointError(f"family.options.{option}: folder {folder.name!r} does not exist")
    return folder


def load(options: dict[str, Any]) -> VoxFamily:
    """Raises ConfigError on an unknown option, a missing file or a config that does not fit."""
    return VoxFamily(checked(VoxOptions, options))
