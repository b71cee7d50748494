"""IndexTTS 1.0 and 1.5: loads its four parts from a published checkpoint folder, which the user brings."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deployments.contract.controls import drawing
from deployments.contract.device import Device
from deployments.contract.errors import CheckpointError, ConfigError
from deployments.contract.family import FamilySpec, Frontend, GptModel, VocoderModel, VoiceEncoder
from deployments.contract.speech import VoicePrompt
from deployments.families.bigvgan.receptive_field import context
from deployments.families.indextts.config import MAX_SECONDS, MIN_SECONDS, N_LATENTS, SAMPLE_RATE, read_config
from deployments.families.options import checked

PIECES = {"infer": 120, "infer_fast": 100}
# The published defaults, with one beam instead of three: see docs/indextts.md.
CONTROLS = drawing(temperature=1.0, top_k=30, top_p=0.8, repetition_penalty=10.0)
MAX_TOKENS = 600


class IndexOptions(BaseModel):
    """Options of the family, described in docs/indextts.md. model_dir: the checkpoint's folder."""

    model_config = ConfigDict(extra="forbid")
    model_dir: Path
    mode: Literal["infer", "infer_fast"] = "infer"
    max_text_tokens_per_sentence: Annotated[int, Field(ge=10, le=400)] | None = None
    sentences_bucket_max_size: Annotated[int, Field(ge=1, le=64)] = 6
    positions: Literal["trained", "published"] = "trained"
    shrink_silence: bool = True


class IndexFamily:
    """Implements Family; `spec` and `frontend()` import no torch. Raises ConfigError for a wrong folder or file."""

    def __init__(self, options: IndexOptions) -> None:
        self.options, given = options, f"family.options.model_dir: {str(options.model_dir)!r}"
        try:
            self.folder = options.model_dir.expanduser()
        except RuntimeError:
            raise ConfigError(f"{given} names an unknown user") from None
        if not self.folder.is_absolute():  # replicas run in working directories of their own
            raise ConfigError(f"{given} must be an absolute path, or begin with ~")
        if not self.folder.is_dir():
            raise CheckpointError(f"family.options.model_dir: folder {self.folder.name!r} does not exist")
        config = self.config = read_config(self.folder)
        for name in (config.gpt_checkpoint, config.bigvgan_checkpoint, config.dataset.bpe_model):
            if not (self.folder / name).is_file():
                raise CheckpointError(f"{name}: not found in the model folder")
        limit = options.max_text_tokens_per_sentence or PIECES[options.mode]
        self.limit = min(limit, config.gpt.max_text_tokens - 1)

    @cached_property
    def spec(self) -> FamilySpec:
        config = self.config
        around = context(config.bigvgan.shape)
        return FamilySpec(
            name="indextts",
            sample_rate=SAMPLE_RATE,
            codes_per_second=SAMPLE_RATE / config.samples_per_code,
            samples_per_code=config.samples_per_code,
            left_context=around,
            right_context=around,
            languages=("zh", "en"),
            max_tokens=MAX_TOKENS,
            min_reference_seconds=MIN_SECONDS,
            max_reference_seconds=MAX_SECONDS,
            plausible_codes=(0.4, 25.0),
            controls=CONTROLS,
            window=self.options.sentences_bucket_max_size if self.options.mode == "infer_fast" else None,
        )

    def frontend(self, device: Device | None = None) -> Frontend:
        from deployments.families.indextts.text.frontend import IndexFrontend

        gpt = self.config.gpt
        return IndexFrontend(self.folder / self.config.dataset.bpe_model, gpt.number_text_tokens, self.limit)

    def example_prompt(self) -> VoicePrompt:
        latents = np.zeros((N_LATENTS, self.config.gpt.model_dim), np.float32)
        speaker = np.zeros(self.config.bigvgan.speaker_embedding_dim, np.float32)
        return VoicePrompt.of("indextts", {"latents": latents, "speaker": speaker})

    def voice_encoder(self, device: Device) -> VoiceEncoder:
        from deployments.families.indextts.voice import IndexVoiceEncoder

        gpt, vocoder = map(self._tensors, (self.config.gpt_checkpoint, self.config.bigvgan_checkpoint))
        return IndexVoiceEncoder(self.config, gpt, vocoder, device.torch_device)

    def gpt(self, device: Device, slots: int) -> GptModel:
        from deployments.families.indextts.gpt import IndexGpt

        return IndexGpt(
            self._tensors(self.config.gpt_checkpoint),
            self.config,
            device,
            slots,
            positions=self.options.positions,
            shrink_silence=self.options.shrink_silence,
            max_text=self.limit + 1,  # an apostrophe may follow the mark at which a text is cut
        )

    def vocoder(self, device: Device) -> VocoderModel:
        from deployments.families.indextts.vocoder import IndexVocoder, read_bigvgan

        tensors = self._tensors(self.config.bigvgan_checkpoint)
        return IndexVocoder(read_bigvgan(tensors, self.config), device.torch_device)

    def _tensors(self, file: str) -> Any:
        from deployments.families.checkpoint import read_tensors

        return read_tensors(self.folder / file)


def load(options: dict[str, Any]) -> IndexFamily:
    """Raises ConfigError on an unknown option, a missing file or a config that does not fit."""
    return IndexFamily(checked(IndexOptions, options))
