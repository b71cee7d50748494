"""GPT-SoVITS v1 to v4: loads its four parts from published checkpoints, which the user brings."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from deployments.contract.controls import drawing
from deployments.contract.device import Device
from deployments.contract.errors import CheckpointError
from deployments.contract.family import FamilySpec, Frontend, GptModel, VocoderModel, VoiceEncoder
from deployments.contract.speech import VoicePrompt
from deployments.families.gpt_sovits.checkpoints import check_pair, read_gpt, read_sovits
from deployments.families.gpt_sovits.options import GptSovitsOptions
from deployments.families.options import checked

if TYPE_CHECKING:
    from deployments.families.gpt_sovits.text.frontend import GptSovitsFrontend

CODES_PER_SECOND = 25
SAMPLE_RATE = 32_000
CONTEXT = 6  # codes, as in vocoder.py, which imports torch
MIN_SECONDS = 3.0
# Longer recordings are refused by the voice encoder and not cut, because the transcript is of all that is said.
MAX_SECONDS = 60.0
CONTROLS = drawing(temperature=1.0, top_k=15, top_p=1.0, repetition_penalty=1.35)  # the published defaults


class GptSovitsFamily:
    """Implements Family; `spec` imports no torch. Raises ConfigError for wrong options or files."""

    def __init__(self, options: GptSovitsOptions) -> None:
        self.options, self.folder = options, options.folder
        self.gpt_file, self.sovits = read_gpt(options.path("gpt")), read_sovits(options.path("sovits"))
        if options.version not in (None, self.sovits.version):
            raise CheckpointError(
                f"family.options.version: {options.version}, but {self.sovits.name} is {self.sovits.version}"
            )
        check_pair(self.gpt_file, self.sovits)
        for name in ("hubert", "bert", *(["speaker"] if self.sovits.pro else [])):
            options.path(name)

    @cached_property
    def spec(self) -> FamilySpec:
        return FamilySpec(
            name="gpt_sovits",
            sample_rate=SAMPLE_RATE,
            codes_per_second=CODES_PER_SECOND,
            samples_per_code=SAMPLE_RATE // CODES_PER_SECOND,
            left_context=CONTEXT,
            right_context=CONTEXT,
            languages=("zh", "en"),
            max_tokens=self.options.max_codes,
            min_reference_seconds=MIN_SECONDS,
            max_reference_seconds=MAX_SECONDS,
            plausible_codes=(0.3, 25.0),
            controls=CONTROLS,
            frontend_device=True,
        )

    def frontend(self, device: Device | None = None) -> Frontend:
        assert device is not None
        return self._frontend(device)

    def example_prompt(self) -> VoicePrompt:
        ge = np.zeros(self.sovits.shapes["ref_enc.fc.fc.bias"], np.float32)
        none = np.zeros(0, np.int64)
        arrays = {"phones": none, "bert": np.zeros((0, 0), np.float32), "codes": none, "ge": ge}
        return VoicePrompt.of("gpt_sovits", arrays)

    def voice_encoder(self, device: Device) -> VoiceEncoder:
        from deployments.families.gpt_sovits.eres2net import Eres2Net
        from deployments.families.gpt_sovits.hubert import Hubert
        from deployments.families.gpt_sovits.voice import GptSovitsVoiceEncoder

        return GptSovitsVoiceEncoder(
            self.sovits,
            self.sovits.tensors(),
            Hubert.load(self.options.path("hubert")),
            Eres2Net.load(self.options.path("speaker")) if self.sovits.pro else None,
            self._frontend(device),
            device.torch_device,
        )

    def gpt(self, device: Device, slots: int) -> GptModel:
        from deployments.families.gpt_sovits.gpt import GptSovitsGpt

        options = self.options
        return GptSovitsGpt(
            self.gpt_file, self.gpt_file.tensors(), device, slots, options.max_phones, options.max_codes
        )

    def vocoder(self, device: Device) -> VocoderModel:
        from deployments.families.gpt_sovits.vits.synthesizer import Synthesizer
        from deployments.families.gpt_sovits.vocoder import VitsVocoder

        net = Synthesizer.load(self.sovits, self.sovits.tensors())
        return VitsVocoder(net, device.torch_device, self.options.noise_scale)

    def _frontend(self, device: Device) -> "GptSovitsFrontend":
        from deployments.families.gpt_sovits.text.frontend import GptSovitsFrontend

        return GptSovitsFrontend(
            self.options.path("bert"), self.sovits.symbols, device, rules=self.options.text
        )


def load(options: dict[str, Any]) -> GptSovitsFamily:
    """Raises ConfigError on an unknown option, a missing file or files that do not fit together."""
    return GptSovitsFamily(checked(GptSovitsOptions, options))
