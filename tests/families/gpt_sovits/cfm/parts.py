"""The golden set of v3 and v4 as parts: tensors, noise and networks."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import soundfile
import torch
from safetensors.torch import load_file
from torch import Tensor

from deployments.families.gpt_sovits.cfm.dit import Dit
from deployments.families.gpt_sovits.cfm.features import Features
from deployments.families.gpt_sovits.cfm.layout import LAYOUTS
from deployments.families.gpt_sovits.checkpoints import SovitsFile, read_sovits
from deployments.families.gpt_sovits.spectrum import spectrogram, timbre_samples
from deployments.families.gpt_sovits.vits.style import StyleEncoder
from deployments.families.gpt_sovits.weights import loaded, without_weight_norm

VERSIONS = ("v3", "v4")
BIGVGAN = "models--nvidia--bigvgan_v2_24khz_100band_256x"


class GoldenSet:
    """folder: golden_v3v4; shared: golden, whose recordings, prompts and codes it uses too."""

    def __init__(self, folder: Path, shared: Path) -> None:
        self.folder, self.shared, self.bundle = folder, shared, folder / "bundle"
        self._tensors: dict[str, dict[str, Tensor]] = {}

    def tensors(self, name: str) -> dict[str, Tensor]:
        if name not in self._tensors:
            self._tensors[name] = load_file(self.folder / f"{name}_golden.safetensors")
        return self._tensors[name]

    def facts(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / f"{name}_golden.json").read_text("utf-8"))

    @cached_property
    def spoken(self) -> dict[str, Tensor]:
        """Phones and greedy codes of the items, and those of the prompt."""
        return load_file(self.shared / "t2s_golden.safetensors")

    @cached_property
    def _bank(self) -> Tensor:
        return load_file(self.folder / "noise.safetensors")["noise.bank"].float()

    def noise(self, call: int, row: int, frames: int) -> Tensor:
        """What replaces the normal numbers of row `row` in the `call`-th solution of a request: (frames, 100)"""
        return self._bank[:, (torch.arange(frames) + 131 * call + 57 * row) % 512].T

    def reference(self, name: str = "ref") -> tuple[Tensor, int]:
        """A recording, (N,) or (N, 2), and its rate. "ref_long" is the first one twice in a row."""
        file = self.shared / f"{'ref' if name == 'ref_long' else name}.wav"
        waveform, rate = soundfile.read(file, dtype="float32")
        sound = torch.from_numpy(waveform)
        return (torch.cat([sound, sound]) if name == "ref_long" else sound), rate

    def speaker(self, version: str, name: str = "ref") -> Tensor:
        """A recording's timbre: (G,)"""
        waveform, rate = self.reference(name)
        net = loaded(StyleEncoder, self.weights(version), f"s2_{version}.pth", "ref_enc.")
        return net(spectrogram(timbre_samples(waveform.numpy(), rate))[None])[0]

    def file(self, version: str) -> SovitsFile:
        return read_sovits(self.bundle / f"s2_{version}.pth")

    def weights(self, version: str) -> dict[str, Tensor]:
        return without_weight_norm(self.file(version).tensors(), version)

    def features(self, version: str) -> Features:
        return Features.load(self.file(version), self.weights(version), LAYOUTS[version])

    def dit(self, version: str) -> Dit:
        """Not prepared."""
        return Dit.load(self.weights(version), f"s2_{version}.pth")
