"""The speed of speech in the VITS decoder: its latents are interpolated, before noise is added, to another length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from deployments.families.gpt_sovits.cfm.layout import encoder_frames
from deployments.families.gpt_sovits.vits.encoder import FRAMES_PER_CODE, faster


@dataclass(frozen=True, slots=True)
class Frames:
    """Where the parts of a chunk begin, in frames of the segment's sound at its speed.

    history: what the encoder sees before the chunk; chunk: its left context; own: what it turns into sound; right: its
    right context; end: behind it. codes: before the history.
    """

    history: int
    chunk: int
    own: int
    right: int
    end: int
    codes: int
    speed: float

    @classmethod
    def of(cls, first: int, past: int, count: int, left: int, right: int, speed: float) -> Self:
        """first: the chunk's first code; past: codes before it that the encoder sees; count: codes, context included;
        without a right context, the segment ends there.
        """
        end = _before(first + count, speed) if right else encoder_frames(first + count, speed)
        return cls(
            _before(first - past, speed),
            _before(first, speed),
            _before(first + left, speed),
            _before(first + count - right, speed) if right else end,
            end,
            first - past,
            speed,
        )

    def interpolated(self, latents: Tensor) -> Tensor:
        """Of the history and the chunk: (B, C, FRAMES_PER_CODE * codes) -> (B, C, end - history).

        A segment in one chunk is interpolated as published, to a length that is rounded up, so that its frames are a
        little less than `speed` latents apart. In a stream the length is not known yet: they are exactly that.
        """
        if self.speed == 1:
            return latents
        if not self.history and self.own == self.chunk and self.right == self.end:
            return faster(latents, self.speed)
        frames = torch.arange(self.history, self.end, dtype=torch.float64, device=latents.device)
        places = (frames + 0.5) * self.speed - 0.5 - FRAMES_PER_CODE * self.codes
        places = places.clamp(0, latents.shape[2] - 1)
        low = places.long()
        share = (places - low).to(latents.dtype)
        high = (low + 1).clamp(max=latents.shape[2] - 1)
        return latents[:, :, low] * (1 - share) + latents[:, :, high] * share


def _before(code: int, speed: float) -> int:
    """Frames before a segment's code `code`."""
    return int(FRAMES_PER_CODE * code / speed)
