"""GPT-SoVITS v1 to v4: loads its four parts from published checkpoints, which the user brings."""

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from deployments.contract.controls import drawing
from deployments.contract.device import Device
from deployments.contract.errors import CheckpointError, ConfigError
from deployments.contract.family import FamilySpec, Frontend, GptModel, VocoderModel, VoiceEncoder
from deployments.contract.speech import VoicePrompt
from deployments.families.gpt_sovits.cfm.layout import LAYOUTS, MELS
from deployments.families.gpt_sovits.checkpoints import SovitsFile, check_pair, read_gpt, read_sovits
from deployments.families.gpt_sovits.options import GptSovitsOptions
from deployments.families.gpt_sovits.text.controls import CONTROLS, TEXT_CONTROLS
from deployments.families.options import checked

if TYPE_CHECKING:
    from torch import Tensor

    from deployments.families.gpt_sovits.text.frontend import GptSovitsFrontend

CODES_PER_SECOND = 25
SAMPLE_RATE = 32_000
CONTEXT = 6  # codes, as in vocoder.py, which imports torch
PACES = (0.25, 4.0)  # all that a request may ask for
MIN_SECONDS = 3.0
# Longer recordings are refused by the voice encoder and not cut, because the transcript is of all that is said.
MAX_SECONDS = 60.0
DRAWING = drawing(temperature=1.0, top_k=15, top_p=1.0, repetition_penalty=1.35)  # the published defaults


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
        self.base = self._base() if self.sovits.lora_rank else None
        self.layout = LAYOUTS.get(self.sovits.version)  # of v3 and v4
        if options.ap_bwe and self.sovits.version != "v3":
            raise ConfigError(
                f"family.options.ap_bwe: is for v3, but {self.sovits.name} is {self.sovits.version}"
            )
        for name in self._needed:
            options.path(name)

    @cached_property
    def spec(self) -> FamilySpec:
        layout = self.layout
        rate = layout.output_rate if layout else SAMPLE_RATE
        if self.options.ap_bwe:
            rate *= 2
        return FamilySpec(
            name="gpt_sovits",
            sample_rate=rate,
            codes_per_second=CODES_PER_SECOND,
            samples_per_code=rate // CODES_PER_SECOND,
            left_context=0 if layout else CONTEXT,
            right_context=0 if layout else CONTEXT,
            languages=("zh", "en"),
            max_tokens=self.options.max_codes,
            min_reference_seconds=MIN_SECONDS,
            max_reference_seconds=MAX_SECONDS,
            plausible_codes=(0.3, 25.0),
            controls=(*DRAWING, *CONTROLS, *([layout.control] if layout else [])),
            text_controls=TEXT_CONTROLS,
            chunking="whole" if layout else "stream",
            frontend_device=True,
            half_on_cpu=True,
            needs_transcript=layout is not None,
            vocoder_paces=PACES,
            super_resolution=self.options.ap_bwe is not None,
            mixes=() if layout else ("ge",),
        )

    def frontend(self, device: Device | None = None) -> Frontend:
        assert device is not None
        return self._frontend(device)

    def example_prompt(self) -> VoicePrompt:
        ge = np.zeros(self.sovits.shapes["ref_enc.fc.fc.bias"], np.float32)
        codes, phones = (np.zeros(count if self.layout else 0, np.int64) for count in (16, 8))
        arrays = {"phones": phones, "bert": np.zeros((0, 0), np.float32), "codes": codes, "ge": ge}
        if self.layout:
            arrays["mel"] = np.zeros((32, MELS), np.float32)
        return VoicePrompt.of("gpt_sovits", arrays)

    def voice_encoder(self, device: Device) -> VoiceEncoder:
        from deployments.families.gpt_sovits.eres2net import Eres2Net
        from deployments.families.gpt_sovits.hubert import Hubert
        from deployments.families.gpt_sovits.shared import shared
        from deployments.families.gpt_sovits.voice import GptSovitsVoiceEncoder

        def pretrained(kind: "type[Hubert | Eres2Net]", name: str) -> Any:
            path, on = self.options.path(name), device.torch_device
            return shared(lambda: kind.load(path).eval().to(on), path, kind, on)

        return GptSovitsVoiceEncoder(
            self.sovits,
            self._tensors(),
            pretrained(Hubert, "hubert"),
            pretrained(Eres2Net, "speaker") if self.sovits.pro else None,
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
        if self.layout:
            from deployments.families.gpt_sovits.vocoder_cfm import CfmVocoder

            sound = self.options.path("bigvgan" if self.sovits.version == "v3" else "hifigan")
            wider = self.options.path("ap_bwe") if self.options.ap_bwe else None
            return CfmVocoder.load(self.sovits, self._tensors(), sound, device, wider)
        from deployments.families.gpt_sovits.vits.synthesizer import Synthesizer
        from deployments.families.gpt_sovits.vocoder import VitsVocoder

        net = Synthesizer.load(self.sovits, self._tensors())
        bf16 = device.kind == "cpu" and device.half
        return VitsVocoder(net, device.torch_device, self.options.noise_scale, bf16)

    @property
    def _needed(self) -> list[str]:
        """The options whose files or folders are read later."""
        own = {"v2Pro": "speaker", "v2ProPlus": "speaker", "v3": "bigvgan", "v4": "hifigan"}.get(
            self.sovits.version
        )
        return ["hubert", "bert", *([own] if own else []), *(["ap_bwe"] if self.options.ap_bwe else [])]

    def _base(self) -> SovitsFile:
        """The full model of a LoRA file."""
        base = read_sovits(self.options.path("base", self.sovits.version))
        if base.version != self.sovits.version or base.lora_rank:
            raise CheckpointError(
                f"family.options.base: {base.name} is not the full model of {self.sovits.version}"
                f" that {self.sovits.name} needs"
            )
        return base

    def _tensors(self) -> "dict[str, Tensor]":
        """Of the SoVITS file, merged with its base if it is a LoRA file."""
        if self.base is None:
            return self.sovits.tensors()
        from deployments.families.gpt_sovits.lora import merged

        assert self.sovits.lora_rank is not None
        return merged(self.base.tensors(), self.sovits.tensors(), self.sovits.lora_rank, self.sovits.name)

    def _frontend(self, device: Device) -> "GptSovitsFrontend":
        from deployments.families.gpt_sovits.text.frontend import GptSovitsFrontend

        return GptSovitsFrontend(
            self.options.path("bert"), self.sovits.symbols, _exact(device), rules=self.options.text
        )


def _exact(device: Device) -> Device:
    """In fp32 on a CPU: there, `device.half` is of the GPT and the VITS generator alone."""
    import torch

    return replace(device, dtype=torch.float32) if device.kind == "cpu" else device


def load(options: dict[str, Any]) -> GptSovitsFamily:
    """Raises ConfigError on an unknown option, a missing file or files that do not fit together."""
    return GptSovitsFamily(checked(GptSovitsOptions, options))
