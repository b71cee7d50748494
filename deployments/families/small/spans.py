"""Which steps of each layer the vocoder has to make for a chunk's sound, and where they lie. Needs no torch.

The chunks of a batch lie one behind the other, as rows of one matrix, each no longer than the next layer needs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BEFORE, BEHIND = (
    4,
    5,
)  # frames around the emitted ones that their sound depends on (see SmallConfig's contexts)


@dataclass(frozen=True, slots=True)
class Extent:
    """Codes of a chunk: context on the left, emitted, context on the right."""

    left: int
    count: int
    right: int


@dataclass(frozen=True, slots=True)
class Span:
    """Steps start..stop (exclusive) of one chunk, 0 being its first emitted one; `row`: where `start` lies."""

    start: int
    stop: int
    row: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    @property
    def rows(self) -> slice:
        return slice(self.row, self.row + self.size)


Layer = list[Span]  # one for each chunk


@dataclass(frozen=True, slots=True)
class Plan:
    """codes[0] and frames[0] are what enters the blocks of codes and of frames, [i + 1] what the i-th block leaves."""

    codes: list[Layer]
    frames: list[Layer]

    @classmethod
    def of(
        cls,
        chunks: Sequence[Extent],
        code_reach: int,
        code_blocks: int,
        frame_reach: int,
        frame_blocks: int,
        rate: int,
    ) -> Plan:
        """reach: steps on each side that a block's convolution sees; rate: frames of a code."""
        ends = [(-chunk.left, chunk.count + chunk.right) for chunk in chunks]
        frame_ends = [(start * rate, stop * rate) for start, stop in ends]
        want = _within([(-BEFORE, chunk.count * rate + BEHIND) for chunk in chunks], frame_ends)
        frames = [want]
        for _ in range(frame_blocks):
            want = _within([(start - frame_reach, stop + frame_reach) for start, stop in want], frame_ends)
            frames.append(want)
        want = [(start // rate, -(-stop // rate)) for start, stop in want]
        frames[-1] = [(start * rate, stop * rate) for start, stop in want]
        codes = [want]
        for _ in range(code_blocks):
            want = _within([(start - code_reach, stop + code_reach) for start, stop in want], ends)
            codes.append(want)
        return cls([_laid(steps) for steps in reversed(codes)], [_laid(steps) for steps in reversed(frames)])


def rows(layer: Layer) -> int:
    return layer[-1].row + layer[-1].size


def _within(steps: Iterable[tuple[int, int]], ends: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Beyond the ends of what a chunk holds there is nothing to make: its segment ends there."""
    return [(max(a, low), min(b, high)) for (a, b), (low, high) in zip(steps, ends, strict=True)]


def _laid(steps: Iterable[tuple[int, int]]) -> Layer:
    layer, row = [], 0
    for start, stop in steps:
        layer.append(Span(start, stop, row))
        row += stop - start
    return layer
