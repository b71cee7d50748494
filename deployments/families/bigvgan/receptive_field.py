"""The frames of each signal inside the vocoder that a part of its sound depends on. Needs no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from deployments.families.bigvgan.shape import BigVganShape

EDGE_TAPS = 7  # of the first and last convolutions
EDGE = EDGE_TAPS // 2
ACTIVATION = 5  # frames on each side that an anti-aliased activation depends on, by two filters of 12 taps
_FAR = 1 << 20  # frames; farther from a signal's ends than any layer sees


@dataclass(frozen=True, slots=True)
class Window:
    """Frames start..stop (exclusive) of a signal whose own frames are 0..length."""

    start: int
    stop: int
    length: int

    @classmethod
    def whole(cls, length: int) -> Self:
        return cls(0, length, length)

    @property
    def size(self) -> int:
        return self.stop - self.start

    def grown(self, frames: int) -> "Window":
        """Extended by `frames` on each side."""
        return Window(self.start - frames, self.stop + frames, self.length)

    def clipped(self) -> "Window":
        """Without the frames outside the signal."""
        return Window(max(self.start, 0), min(self.stop, self.length), self.length)


@dataclass(frozen=True, slots=True)
class Needs:
    """The frames to compute: opened[i] after the up-sampling of stage i, and closed[i + 1] after its blocks.

    closed[0] are the frames after the first convolution, `frames` those before it.
    """

    frames: Window
    opened: Sequence[Window]
    closed: Sequence[Window]


def needs(shape: BigVganShape, want: Window) -> Needs:
    """The frames that the samples `want` of the sound need."""
    window = want.grown(EDGE + ACTIVATION).clipped()
    opened, closed = [], [window]
    widest = max(block_reach(*block) for block in blocks(shape))
    for rate, kernel in reversed(list(zip(shape.upsample_rates, shape.upsample_kernel_sizes, strict=True))):
        opened.append(window.grown(widest).clipped())
        window = _below(opened[-1], rate, kernel)
        closed.append(window)
    return Needs(window.grown(EDGE).clipped(), opened[::-1], closed[::-1])


def inner_needs(shape: BigVganShape, count: int) -> tuple[int, Needs]:
    """(first, needs) for the samples of `count` frames from frame `first`, far from the signal's ends."""
    rate = math.prod(shape.upsample_rates)
    return _FAR, needs(shape, Window(_FAR * rate, (_FAR + count) * rate, 2 * _FAR * rate))


def context(shape: BigVganShape) -> int:
    """The most frames on each side of a frame that its samples depend on."""
    first, need = inner_needs(shape, 1)
    return max(first - need.frames.start, need.frames.stop - first - 1)


def blocks(shape: BigVganShape) -> list[tuple[int, tuple[int, ...]]]:
    """(kernel, dilations) of each residual block of a stage."""
    return list(zip(shape.resblock_kernel_sizes, shape.resblock_dilation_sizes, strict=True))


def block_reach(kernel: int, dilations: Sequence[int]) -> int:
    """The frames on each side that a frame of a residual block depends on."""
    return sum(kernel // 2 * (dilation + 1) + 2 * ACTIVATION for dilation in dilations)


def _below(want: Window, rate: int, kernel: int) -> Window:
    """The input frames of `want` in a transposed convolution whose output is cut by (kernel - rate) / 2 per side."""
    early = (kernel - rate) // 2
    first = -((kernel - 1 - early - want.start) // rate)
    last = (want.stop - 1 + early) // rate
    return Window(first, last + 1, want.length // rate).clipped()
