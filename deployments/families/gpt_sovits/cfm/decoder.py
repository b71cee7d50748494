"""The decoder of v3 and v4 on a device: segments of codes to sound, many together.

Codes become features by segment, features a mel by chunk, after the frames of the segment's voice, and the mel sound by
window. Rows of each of the three kinds share calls, whatever segment they belong to. A call has one of a few shapes, to
which its rows are padded; without `batches`, each row runs alone and unpadded. Padding does not reach a row's result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.contract.family import Call, Tensors
from deployments.engine.noise import normal
from deployments.families.gpt_sovits.ap_bwe import ApBwe
from deployments.families.gpt_sovits.cfm.chunks import chunks, grouped, joined
from deployments.families.gpt_sovits.cfm.dit import Dit
from deployments.families.gpt_sovits.cfm.features import Features
from deployments.families.gpt_sovits.cfm.layout import STEPS
from deployments.families.gpt_sovits.cfm.mel import restored
from deployments.families.gpt_sovits.cfm.solver import Rows, directly, solve
from deployments.families.gpt_sovits.cfm.sound import WINDOW, MelVocoder, shared_call, sounds
from deployments.families.gpt_sovits.vits.encoder import FRAMES_PER_CODE

CODES = (64, 128, 256, 512)  # and phones, to which segments are padded; longer ones run alone
LENGTHS = (0.5, 0.75, 1.0)  # of the longest row of the solver, to which its rows are padded
_MULTIPLE = 8  # frames of a padded row, as fast attention kernels want it


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """What a segment continues: features (T, C) and normalised mel (T, M) of the prompt's last frames; ge: (G,)."""

    features: Tensor
    mel: Tensor
    ge: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """A segment: int64 codes (N,) and phones (P,); seed: int64 (), of its noise. Only at a speed of 1, its codes and
    phones share a call with others."""

    codes: Tensor
    phones: Tensor
    voice: Voice
    seed: Tensor
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames start..stop of a segment's features, after the frames of its voice: `length` in all."""

    segment: int
    start: int
    stop: int
    length: int


class CfmDecoder:
    """Takes the networks over: they are moved to `device` and prepared there.

    dtype: of the transformer; the rest is float32. extension: to twice the rate of `vocoder`.
    """

    def __init__(
        self,
        features: Features,
        net: Dit,
        vocoder: MelVocoder,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        extension: ApBwe | None = None,
    ) -> None:
        self.device, self.layout = device, features.layout
        self.features, self.net = features.to(device), net.to(device).prepare(STEPS, dtype)
        self.vocoder, self.mels = vocoder, net.shape.mels
        self.codes, self.window = CODES, WINDOW
        self.extension = None if extension is None else extension.to(device)
        self.lengths = sorted({_rounded(round(part * self.layout.most)) for part in LENGTHS})

    def voice(self, codes: Tensor, phones: Tensor, ge: Tensor, mel: Tensor) -> Voice:
        """codes (N,), phones (P,), ge (G,) and normalised mel (T, M) of the recording.

        The last frames that both its features and its mel have, as many as a prompt may have.
        """
        features = self.features(codes[None], phones[None], ge[None])[0]
        shared = min(len(mel), len(features))
        last = slice(max(0, shared - self.layout.most_prompt), shared)
        return Voice(features[last].clone(), mel[last].clone(), ge.clone())

    def decode(
        self, segments: Sequence[Spoken], steps: int, batches: Sequence[int] = (), call: Call = directly
    ) -> list[tuple[Tensor, Tensor]]:
        """The samples of each segment, and the attention of its codes' frames to its phones, float16 (2 N, P).

        batches: how many rows a call may have, ascending.
        """
        encoded = self._features(segments, batches, call)
        features = [found for found, _ in encoded]
        parts = [
            Chunk(index, start, stop, len(segment.voice.mel) + stop - start)
            for index, segment in enumerate(segments)
            for start, stop in chunks(len(features[index]), self.layout.most - len(segment.voice.mel))
        ]
        solved = self._solved(parts, segments, features, steps, batches, call)
        mels = [
            restored(joined([mel for part, mel in zip(parts, solved, strict=True) if part.segment == index]))
            for index in range(len(segments))
        ]
        waveforms = map(self._extended, sounds(self.vocoder, mels, self.window, batches, call))
        return [(sound, attention.half()) for sound, (_, attention) in zip(waveforms, encoded, strict=True)]

    def rehearse(self, batches: Sequence[int], call: Call) -> None:
        """Every call of `decode`, in each of its shapes."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, device=self.device)

        for batch in reversed(batches):
            for count in reversed(self.codes):
                codes = zeros(batch, count).long()
                self._encoded(
                    codes, codes, codes[:, 0], codes[:, 0], zeros(batch, self.features.speaker), call
                )
            for length in reversed(self.lengths):
                mel, ones = zeros(batch, length, self.mels), zeros(batch, length, 1) + 1
                rows = Rows(zeros(batch, length, self.features.channels), mel, mel, ones, ones)
                solve(self.net, rows, min(STEPS), call)
            mel = zeros(batch, self.window, self.mels)
            shared_call(self.vocoder, mel, mel[:, :, :1], call)

    def _features(
        self, segments: Sequence[Spoken], batches: Sequence[int], call: Call
    ) -> list[tuple[Tensor, Tensor]]:
        """Features (F, C) and attention (2 N, P) of each segment."""
        sizes = [max(len(segment.codes), len(segment.phones)) for segment in segments]
        shared = [
            i for i, size in enumerate(sizes) if batches and size <= self.codes[-1] and segments[i].speed == 1
        ]
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for i, segment in enumerate(segments):
            if i not in shared:
                made = self.features.attended(
                    segment.codes[None], segment.phones[None], segment.voice.ge[None], segment.speed
                )
                found[i] = made[0][0], made[1][0]
        for group, batch in grouped(shared, batches):
            width = next(count for count in self.codes if count >= max(sizes[i] for i in group))
            own = [segments[i] for i in group]
            codes, code_count = _padded([segment.codes for segment in own], batch, width)
            phones, phone_count = _padded([segment.phones for segment in own], batch, width)
            ge = F.pad(torch.stack([segment.voice.ge for segment in own]), (0, 0, 0, batch - len(own)))
            made, seen = self._encoded(codes, phones, code_count, phone_count, ge, call)
            for row, i in enumerate(group):
                count, phones = len(segments[i].codes), len(segments[i].phones)
                found[i] = (
                    made[row, : self.layout.frames(count)],
                    seen[row, : FRAMES_PER_CODE * count, :phones],
                )
        return [found[i] for i in range(len(segments))]

    def _encoded(
        self, codes: Tensor, phones: Tensor, code_count: Tensor, phone_count: Tensor, ge: Tensor, call: Call
    ) -> tuple[Tensor, Tensor]:
        def forward(inputs: Tensors) -> Tensors:
            return dict(zip(("features", "attention"), self.features.padded(**inputs), strict=True))

        inputs = {"codes": codes, "phones": phones, "code_count": code_count, "phone_count": phone_count}
        made = call(("codes to features", *codes.shape), forward, inputs | {"speaker": ge})
        return made["features"].clone(), made["attention"].clone()

    def _solved(
        self,
        parts: Sequence[Chunk],
        segments: Sequence[Spoken],
        features: Sequence[Tensor],
        steps: int,
        batches: Sequence[int],
        call: Call,
    ) -> list[Tensor]:
        """The normalised mel (stop - start, M) of each chunk."""
        found: dict[int, Tensor] = {}
        order = sorted(range(len(parts)), key=lambda index: parts[index].length)
        for group, batch in grouped(order, batches):
            length = parts[group[-1]].length
            if batches:
                length = next(size for size in self.lengths if size >= length)
            rows = self._rows([parts[index] for index in group], segments, features, batch, length)
            made = solve(self.net, rows if batches else rows._replace(mask=None), steps, call)
            for row, index in enumerate(group):
                part = parts[index]
                found[index] = made[row, part.length - (part.stop - part.start) : part.length]
        return [found[index] for index in range(len(parts))]

    def _rows(
        self,
        parts: Sequence[Chunk],
        segments: Sequence[Spoken],
        features: Sequence[Tensor],
        batch: int,
        length: int,
    ) -> Rows:
        """`parts` as the first of `batch` rows of `length` frames. The others are all prompt, of zeros."""
        like = features[0]
        texts = like.new_zeros(batch, length, like.shape[1])
        prompts, noise = (like.new_zeros(batch, length, self.mels) for _ in range(2))
        new, mask = like.new_zeros(batch, length, 1), like.new_zeros(batch, length, 1)
        mask[len(parts) :] = 1  # attention over nothing is not finite
        bins = torch.arange(self.mels, device=like.device)
        for row, part in enumerate(parts):
            segment, end = segments[part.segment], part.length
            begin = end - (part.stop - part.start)
            texts[row, :begin], prompts[row, :begin] = segment.voice.features, segment.voice.mel
            texts[row, begin:end] = features[part.segment][part.start : part.stop]
            frames = torch.arange(part.start, part.stop, device=like.device)[:, None]
            noise[row, begin:end] = normal(segment.seed, frames * self.mels + bins)
            new[row, begin:end] = mask[row, :end] = 1
        return Rows(texts, prompts, noise, new, mask)

    def _extended(self, sound: Tensor) -> Tensor:
        """To twice the rate, and no louder than full scale, if that is wanted."""
        if self.extension is None:
            return sound
        wide = self.extension(sound[None])[0]
        return wide / wide.abs().max().clamp(min=1)


def _padded(rows: Sequence[Tensor], batch: int, width: int) -> tuple[Tensor, Tensor]:
    """int64 (B, width), and the length of each row (B,)."""
    found = rows[0].new_zeros(batch, width)
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    counts = torch.tensor([len(row) for row in rows] + [0] * (batch - len(rows)))
    return found, counts.to(found.device, non_blocking=True)


def _rounded(frames: int) -> int:
    return -(-frames // _MULTIPLE) * _MULTIPLE
