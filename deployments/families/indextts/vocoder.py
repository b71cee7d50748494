"""Vocoder part of IndexTTS: chunks of latents to padded batches and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from deployments.contract.family import Packing
from deployments.contract.speech import VocodedChunk, VocoderChunk
from deployments.families.indextts.bigvgan import BigVgan
from deployments.families.indextts.receptive_field import Window, context

_SIGNALS, _EDGES = (
    7,
    4,
)  # signals of a stage's size that are alive at its peak; latents that its blocks reach over


class IndexVocoder:
    """Implements VocoderModel. Takes `net` over: it is moved to `device` and prepared there.

    Always float32: cosines of amplified signals and 16-bit sound leave no room for a half's 11 bits. GPUs may multiply
    in TF32 where torch is told so.

    A segment's ends, where signals are continued by zeros or by their last values, must be the ends of a row. So a
    chunk that begins its segment stands at the beginning of its row, one that ends it at the end, and the zeros beside
    it never reach its sound, its context being on that side. One that does both has a row of its own length.
    """

    frame_dtype = np.float32

    def __init__(self, net: BigVgan, device: torch.device) -> None:
        self.net = net.float().eval().to(device).prepare()
        self.frame_shape = (net.config.gpt_dim,)
        self._context = context(net.config)
        self.packing = Packing(paddable=self.paddable)  # on a CPU alone: `exactly` goes row by row anyway

    def paddable(self, chunk: VocoderChunk) -> bool:
        """Not if both ends of its segment are in its sight."""
        return chunk.left >= self._context or chunk.right >= self._context

    def collate(self, chunks: Sequence[VocoderChunk], batch: int, frames: int) -> dict[str, Tensor]:
        """latents (B, frames, M) and speaker (B, S), zeros in unused rows; for each row the latents that are wanted:
        `first` (B,) and `count` (B,). `span` (N,) 0, 1, .. has the length of what `forward` makes of every row.

        Raises ValueError where a chunk is longer than `frames`, or cannot be padded to it.
        """
        padded = all(self.paddable(chunk) for chunk in chunks)
        longest = max(len(chunk.frames) - chunk.left - chunk.right for chunk in chunks)
        # padded rows have context on at least one side
        span = max(longest, frames - self._context) if padded else frames
        speakers = self.net.config.speaker_embedding_dim
        inputs = {
            "latents": torch.zeros(batch, frames, *self.frame_shape),
            "speaker": torch.zeros(batch, speakers),
            "first": torch.zeros(batch, dtype=torch.int64),
            "count": torch.zeros(batch, dtype=torch.int64),
            "span": torch.arange(span),
        }
        for row, chunk in enumerate(chunks):
            spare = frames - len(chunk.frames)
            if spare < 0 or (spare and not self.paddable(chunk)):
                raise ValueError(f"a chunk of {len(chunk.frames)} frames does not fit into {frames}")
            begin = spare if chunk.right < self._context else 0
            latents = torch.from_numpy(np.ascontiguousarray(chunk.frames, dtype=np.float32))
            inputs["latents"][row, begin : begin + len(latents)] = latents
            inputs["speaker"][row] = torch.from_numpy(np.ascontiguousarray(chunk.prompt.tensors["speaker"]))
            inputs["first"][row] = begin + chunk.left
            inputs["count"][row] = len(latents) - chunk.left - chunk.right
        return inputs

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """waveform (B, N * samples_per_latent) in -1..1; a row's own begins at its `skipped` (B,) sample."""
        return self.exactly(inputs) if inputs["latents"].device.type == "cpu" else self.together(inputs)

    def together(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """All rows at once, as long a stretch of each, at places that the host need not know."""
        latents, count = inputs["latents"], len(inputs["span"])
        first = inputs["first"].clamp(max=latents.shape[1] - count)
        waveform = self.net.rows(latents, inputs["speaker"], first, count)
        return {"waveform": waveform, "skipped": (inputs["first"] - first) * self.net.samples_per_latent}

    def exactly(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Row by row, and of each only what is wanted: a batch would save a CPU no time."""
        latents, rate = inputs["latents"], self.net.samples_per_latent
        waveform = torch.zeros(len(latents), len(inputs["span"]) * rate)
        wanted = zip(inputs["first"].tolist(), inputs["count"].tolist(), strict=True)
        for row, (first, count) in enumerate(wanted):
            if count:
                want = Window(first * rate, (first + count) * rate, latents.shape[1] * rate)
                own = slice(row, row + 1)
                waveform[row, : want.size] = self.net(latents[own], inputs["speaker"][own], want)
        return {"waveform": waveform, "skipped": torch.zeros_like(inputs["first"])}

    def activation_bytes(self, batch: int, frames: int) -> int:
        """So many signals of the dearest stage's size; `exactly` makes one row's at a time, and those of no context."""
        config, rate, dearest = self.net.config, 1, 0
        for stage, factor in enumerate(config.upsample_rates):
            rate *= factor
            dearest = max(dearest, rate * (config.upsample_initial_channel >> (stage + 1)))
        if next(self.net.buffers()).device.type == "cpu":
            batch, frames = 1, max(1, frames - 2 * self._context) + _EDGES
        return 4 * _SIGNALS * dearest * batch * frames

    def split(self, outputs: dict[str, Tensor], chunks: Sequence[VocoderChunk]) -> list[VocodedChunk]:
        results = []
        for row, chunk in enumerate(chunks):
            size = (len(chunk.frames) - chunk.left - chunk.right) * self.net.samples_per_latent
            skipped = int(outputs["skipped"][row])
            waveform = outputs["waveform"][row, skipped : skipped + size].numpy().copy()
            results.append(VocodedChunk(waveform, {}))
        return results
