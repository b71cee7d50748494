"""Vocoder part of IndexTTS: chunks of latents to padded batches and back."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from deployments.contract.family import Packing
from deployments.contract.speech import VocodedChunk, VocoderChunk
from deployments.families.bigvgan.net import BigVgan
from deployments.families.bigvgan.receptive_field import Window, context
from deployments.families.indextts.config import IndexConfig

_SIGNALS = 7  # of a stage's size, alive at its peak
_EDGES = 4  # latents that a stage's blocks reach over


class IndexVocoder:
    """Implements VocoderModel. Takes `net` over: it is moved to `device` and prepared there.

    Always float32: 11 bits of precision are too few for the cosines of amplified signals and for 16-bit sound.

    Signals continue beyond a segment's ends as zeros or as their last values, so these ends must be the ends of a row.
    A chunk that begins its segment is at the start of its row, one that ends it is at the end; the padding lies beyond
    the chunk's context on the other side, and does not reach its sound. A chunk that does both cannot be padded.
    """

    frame_dtype = np.float32

    def __init__(self, net: BigVgan, device: torch.device) -> None:
        self.net = net.float().eval().to(device).prepare()
        self.frame_shape = (net.shape.inputs,)
        self._context = context(net.shape)
        self.packing = Packing(paddable=self.paddable)  # on a CPU, `exactly` goes row by row

    def paddable(self, chunk: VocoderChunk) -> bool:
        """False if the chunk's context reaches both ends of its segment."""
        return chunk.left >= self._context or chunk.right >= self._context

    def collate(self, chunks: Sequence[VocoderChunk], batch: int, frames: int) -> dict[str, Tensor]:
        """latents (B, frames, M) and speaker (B, S), zeros in unused rows; the latents wanted of each row: `first` (B,)
        and `count` (B,). The length of `span` (N,) is the number of latents that `forward` computes for each row.

        Raises ValueError if a chunk is longer than `frames`, or cannot be padded to it.
        """
        padded = all(self.paddable(chunk) for chunk in chunks)
        longest = max(len(chunk.frames) - chunk.left - chunk.right for chunk in chunks)
        # padded rows have context on at least one side
        span = max(longest, frames - self._context) if padded else frames
        speakers = self.net.shape.speaker
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
        """waveform (B, N * samples_per_frame) in -1..1; a row's own begins at its `skipped` (B,) sample."""
        return self.exactly(inputs) if inputs["latents"].device.type == "cpu" else self.together(inputs)

    def together(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """All rows at once, the same number of samples from each, at positions that the host does not read."""
        latents, count = inputs["latents"], len(inputs["span"])
        first = inputs["first"].clamp(max=latents.shape[1] - count)
        waveform = self.net.rows(latents, inputs["speaker"], first, count)
        return {"waveform": waveform, "skipped": (inputs["first"] - first) * self.net.shape.samples_per_frame}

    def exactly(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Row by row, and only the wanted samples of each: on a CPU, a batch saves no time."""
        latents, rate = inputs["latents"], self.net.shape.samples_per_frame
        waveform = torch.zeros(len(latents), len(inputs["span"]) * rate)
        wanted = zip(inputs["first"].tolist(), inputs["count"].tolist(), strict=True)
        for row, (first, count) in enumerate(wanted):
            if count:
                want = Window(first * rate, (first + count) * rate, latents.shape[1] * rate)
                own = slice(row, row + 1)
                waveform[row, : want.size] = self.net(latents[own], inputs["speaker"][own], want)
        return {"waveform": waveform, "skipped": torch.zeros_like(inputs["first"])}

    def activation_bytes(self, batch: int, frames: int) -> int:
        """_SIGNALS buffers of the largest stage. `exactly` computes one row at a time, without its context."""
        shape, rate, largest = self.net.shape, 1, 0
        for stage, factor in enumerate(shape.upsample_rates):
            rate *= factor
            largest = max(largest, rate * (shape.upsample_initial_channel >> (stage + 1)))
        if next(self.net.buffers()).device.type == "cpu":
            batch, frames = 1, max(1, frames - 2 * self._context) + _EDGES
        return 4 * _SIGNALS * largest * batch * frames

    def split(self, outputs: dict[str, Tensor], chunks: Sequence[VocoderChunk]) -> list[VocodedChunk]:
        results = []
        for row, chunk in enumerate(chunks):
            size = (len(chunk.frames) - chunk.left - chunk.right) * self.net.shape.samples_per_frame
            skipped = int(outputs["skipped"][row])
            waveform = outputs["waveform"][row, skipped : skipped + size].numpy().copy()
            results.append(VocodedChunk(waveform, {}))
        return results


def read_bigvgan(tensors: Mapping[str, Tensor], config: IndexConfig) -> BigVgan:
    """The generator of a checkpoint, which also holds the speaker encoder. Raises CheckpointError (see `load`)."""
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith("speaker_encoder.")}
    return BigVgan.load(own, config.bigvgan.shape, config.bigvgan_checkpoint)
