"""Vocoder part of the small family: chunks of codes to padded batches and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from deployments.families.base import VocodedChunk, VocoderChunk
from deployments.families.small.vocoder_net import VocoderNet


class SmallVocoder:
    """Implements VocoderModel. Always float32: the phase of the pulses accumulates over a segment."""

    frame_shape: tuple[int, ...] = ()
    frame_dtype = np.int64

    def __init__(self, net: VocoderNet, device: torch.device) -> None:
        self.net = net.float().eval().to(device)
        self.config = net.config

    def paddable(self, chunk: VocoderChunk) -> bool:
        return True

    def collate(self, chunks: Sequence[VocoderChunk], batch: int, frames: int) -> dict[str, Tensor]:
        """Rows [left context | codes | right context | padding]; unused rows repeat nothing: they are masked out."""
        inputs = {
            "codes": torch.zeros(batch, frames, dtype=torch.int64),
            "speaker": torch.zeros(batch, self.config.speaker_dim),
            "mask": torch.zeros(batch, frames),
            "seed": torch.zeros(batch, dtype=torch.int64),
            "first_code": torch.zeros(batch, dtype=torch.int64),
            "left": torch.zeros(batch, dtype=torch.int64),
            "n": torch.zeros(batch, dtype=torch.int64),
            "phase": torch.zeros(batch, dtype=torch.float64),
        }
        for row, chunk in enumerate(chunks):
            count = len(chunk.frames)
            inputs["codes"][row, :count] = torch.from_numpy(np.ascontiguousarray(chunk.frames))
            inputs["speaker"][row] = torch.from_numpy(np.ascontiguousarray(chunk.prompt.tensors["speaker"]))
            inputs["mask"][row, :count] = 1.0
            inputs["seed"][row] = chunk.seed
            inputs["first_code"][row] = chunk.first
            inputs["left"][row] = chunk.left
            inputs["n"][row] = count - chunk.left - chunk.right
            if chunk.state is not None:
                inputs["phase"][row] = float(chunk.state["phase"])
        return inputs

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        waveform, phase = self.net(**inputs)
        return {"waveform": waveform, "phase": phase}

    def split(self, outputs: dict[str, Tensor], chunks: Sequence[VocoderChunk]) -> list[VocodedChunk]:
        waveforms, phases = outputs["waveform"].numpy(), outputs["phase"].numpy()
        per_code = self.config.samples_per_code
        results = []
        for row, chunk in enumerate(chunks):
            stop = (len(chunk.frames) - chunk.right) * per_code
            waveform = waveforms[row, chunk.left * per_code : stop].copy()
            results.append(VocodedChunk(waveform, {"phase": phases[row].copy()}))
        return results
