"""The small family: loads its four parts from the weights that this repository ships."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from deployments.contract.controls import drawing
from deployments.contract.device import Device
from deployments.contract.errors import CheckpointError
from deployments.contract.family import FamilySpec, Frontend, GptModel, VocoderModel, VoiceEncoder
from deployments.contract.speech import VoicePrompt
from deployments.families.options import checked, fault
from deployments.families.small.config import MAX_SECONDS, MIN_SECONDS, SmallConfig

WEIGHTS = Path(__file__).parent / "weights"
FILE = "small.safetensors"


class SmallOptions(BaseModel):
    """Options of the family. `weights`: a folder with small.safetensors and small.json; by default, the shipped one."""

    model_config = ConfigDict(extra="forbid")
    weights: Path = WEIGHTS


class SmallFamily:
    """Implements Family. `spec` and `frontend()` import no torch."""

    def __init__(self, options: SmallOptions) -> None:
        self.folder = options.weights.expanduser()
        path = self.folder / "small.json"
        try:
            self.config = SmallConfig(**json.loads(path.read_text()))
        except FileNotFoundError:
            where = f"in the folder {self.folder.name!r}"
            raise CheckpointError(f"family.options.weights: no {path.name} {where}") from None
        except OSError as error:
            why = f"{path.name} cannot be read: {error.strerror}"
            raise CheckpointError(f"family.options.weights: {why}") from None
        except ValidationError as error:
            raise CheckpointError(f"{path.name}: {fault(error)}") from None
        except (ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(f"{path.name}: {error}") from None

    @cached_property
    def spec(self) -> FamilySpec:
        config = self.config
        return FamilySpec(
            name="small",
            sample_rate=config.sample_rate,
            codes_per_second=config.codes_per_second,
            samples_per_code=config.samples_per_code,
            left_context=config.left_context,
            right_context=config.right_context,
            languages=config.languages,
            max_tokens=config.max_codes,
            min_reference_seconds=MIN_SECONDS,
            max_reference_seconds=MAX_SECONDS,
            paces=config.paces,
            plausible_codes=(1.0, 9.0),
            controls=drawing(temperature=config.temperature, top_k=config.top_k),
        )

    def frontend(self, device: Device | None = None) -> Frontend:
        from deployments.families.small.frontend import SmallFrontend

        return SmallFrontend(languages=self.config.languages, phones=self.config.phones)

    def example_prompt(self) -> VoicePrompt:
        sizes = {"speaker": self.config.speaker_dim, "timbre": self.config.n_bins}
        return VoicePrompt.of("small", {name: np.zeros(size, np.float32) for name, size in sizes.items()})

    def voice_encoder(self, device: Device) -> VoiceEncoder:
        from deployments.engine.device.choose import has_fft
        from deployments.families.checkpoint import read_tensors
        from deployments.families.small.speaker import SpeakerEncoder
        from deployments.families.small.timbre import Timbre, calibration_codes
        from deployments.families.small.vocoder_net import VocoderNet
        from deployments.families.small.voice import SmallVoiceEncoder

        where, path = device.torch_device, self.folder / FILE
        net = self._filled(SpeakerEncoder(self.config), "speaker").float().eval().to(where)
        vocoder = self._filled(VocoderNet(self.config), "vocoder").float().eval().to(where)
        vocoder.source_filter.matmul_dft = not has_fft(where)
        codes = calibration_codes(read_tensors(path), self.config, path.name)
        return SmallVoiceEncoder(net, Timbre(vocoder, codes.to(where), net.log_mel), self.config, where)

    def gpt(self, device: Device, slots: int) -> GptModel:
        from deployments.families.small.gpt import SmallGpt
        from deployments.families.small.gpt_net import GptNet

        return SmallGpt(self._filled(GptNet(self.config), "gpt"), self.config, device, slots)

    def vocoder(self, device: Device) -> VocoderModel:
        from deployments.families.small.vocoder import SmallVocoder
        from deployments.families.small.vocoder_net import VocoderNet

        return SmallVocoder(self._filled(VocoderNet(self.config), "vocoder"), device.torch_device)

    def _filled(self, net: Any, part: str) -> Any:
        """`net` with the tensors of `part`. Raises CheckpointError naming file, tensor and both shapes."""
        from deployments.families.checkpoint import fill, part_of, read_tensors

        tensors, prefix = read_tensors(self.folder / FILE), f"{part}."
        return fill(net, part_of(tensors, prefix), FILE, prefix)


def load(options: dict[str, Any]) -> SmallFamily:
    """Raises ConfigError on an unknown option or unreadable config."""
    return SmallFamily(checked(SmallOptions, options))
