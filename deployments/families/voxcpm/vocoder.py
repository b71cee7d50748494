"""Vocoder part of VoxCPM: AudioVAE's decoder, whose state stays in the replica between the chunks of a segment."""

from collections.abc import Sequence

import numpy as np
import torch
from cachetools import LRUCache
from torch import Tensor

from deployments.contract.family import Packing
from deployments.contract.speech import VocodedChunk, VocoderChunk
from deployments.families.voxcpm.audio_vae import Decoder
from deployments.families.voxcpm.config import VoxConfig
from deployments.families.voxcpm.modes import Mode

VOICES = 16  # whose first state is kept: 0.5 MB each
_SIGNALS = 4  # of the largest layer, alive at its peak


class VoxVocoder:
    """Implements VocoderModel. Always float32: the published decoder is. A frame is a patch (P, D)."""

    frame_dtype = np.float32
    packing = Packing()

    def __init__(self, decoder: Decoder, config: VoxConfig) -> None:
        self.decoder, self.config = decoder, config
        self.frame_shape = (config.patch_size, config.feat_dim)
        self._continued: LRUCache[str, Tensor] = LRUCache(VOICES)

    def collate(self, chunks: Sequence[VocoderChunk], batch: int, frames: int) -> dict[str, Tensor]:
        """latents (B, frames, P, D), how many patches are each row's own, `count` (B,), and its state (B, S)."""
        inputs = {
            "latents": torch.zeros(batch, frames, *self.frame_shape),
            "count": torch.zeros(batch, dtype=torch.int64),
            "state": torch.zeros(batch, self.decoder.state),
        }
        for row, chunk in enumerate(chunks):
            inputs["latents"][row, : len(chunk.frames)] = torch.from_numpy(np.ascontiguousarray(chunk.frames))
            inputs["count"][row] = len(chunk.frames)
            if chunk.state is not None and "state" in chunk.state:
                inputs["state"][row] = torch.from_numpy(chunk.state["state"])
            elif (before := self._before(chunk)) is not None:
                inputs["state"][row] = before
        return inputs

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """waveform (B, frames * samples per patch), and the state behind each row's own patches."""
        latents, count = inputs["latents"], inputs["count"]
        valid = count * self.config.patch_size
        if latents.device.type == "cpu" and bool((count == latents.shape[1]).all()):
            valid = None
        x = latents.flatten(1, 2).transpose(1, 2)  # (B, D, T)
        waveform, state = self.decoder(x, inputs["state"], valid)
        return {"waveform": waveform, "state": state}

    def split(self, outputs: dict[str, Tensor], chunks: Sequence[VocoderChunk]) -> list[VocodedChunk]:
        results, size = [], self.config.samples_per_patch
        for row, chunk in enumerate(chunks):
            begin, end = chunk.left * size, (len(chunk.frames) - chunk.right) * size
            waveform = outputs["waveform"][row, begin:end].numpy().copy()
            results.append(VocodedChunk(waveform, {"state": outputs["state"][row].numpy().copy()}))
        return results

    def activation_bytes(self, batch: int, frames: int) -> int:
        """_SIGNALS buffers of the largest layer, and the states."""
        vae = self.config.audio_vae_config
        rate, width, largest = 1, vae.decoder_dim, vae.decoder_dim
        for factor in vae.decoder_rates:
            rate, width = rate * factor, width // 2
            largest = max(largest, rate * width)
        return 4 * batch * (_SIGNALS * largest * frames * self.config.patch_size + 2 * self.decoder.state)

    @torch.inference_mode()
    def _before(self, chunk: VocoderChunk) -> Tensor | None:
        """The state behind the last patches of a recording that is continued, computed once for a voice."""
        if chunk.first or not chunk.controls:
            return None
        prompt = Mode.of(chunk.prompt, chunk.controls).prompt
        if prompt is None:
            return None
        key = chunk.prompt.key
        if key not in self._continued:
            last = torch.from_numpy(np.ascontiguousarray(prompt[-self.config.context_patches :]))
            x = last.flatten(0, 1).T.unsqueeze(0).to(self.decoder.device)
            self._continued[key] = self.decoder(x, self.decoder.silence())[1][0].cpu()
        return self._continued[key]
