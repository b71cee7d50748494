"""How a segment's frames are divided: into chunks that are solved apart, and into windows that are vocoded apart.

Chunks share `OVERLAP` frames, in which one mel fades into the next; both were solved from the same noise there. Windows
share frames that only give context, so a sample does not depend on how its signal was cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from deployments.families.gpt_sovits.cfm.layout import OVERLAP


@dataclass(frozen=True, slots=True)
class Window:
    """Frames start..stop of a signal, of which those from `first` to `last` are wanted; all counted in the signal."""

    start: int
    stop: int
    first: int
    last: int

    @property
    def size(self) -> int:
        return self.stop - self.start


def chunks(frames: int, most: int) -> list[tuple[int, int]]:
    """(start, stop) of each chunk of a segment: as few as there can be, of one length, but for rounding."""
    count = max(1, -(-(frames - OVERLAP) // (most - OVERLAP)))
    edges = [(frames - OVERLAP) * index // count for index in range(count + 1)]
    return [(start, stop + OVERLAP) for start, stop in pairwise(edges)]


def joined(mels: Sequence[Tensor]) -> Tensor:
    """Consecutive chunks (T, M), each of which shares `OVERLAP` frames with the next, as one (F, M)."""
    whole = [mels[0]]
    rise = ((torch.arange(OVERLAP, device=mels[0].device) + 0.5) / OVERLAP)[:, None]
    for mel in mels[1:]:
        before = whole[-1]
        whole[-1] = before[:-OVERLAP]
        whole += [before[-OVERLAP:].lerp(mel[:OVERLAP], rise), mel[OVERLAP:]]
    return torch.cat(whole)


def windows(frames: int, most: int, context: int) -> list[Window]:
    """Of `most` frames each, if there are so many, with `context` frames around what is wanted or the signal's end."""
    if frames <= most:
        return [Window(0, frames, 0, frames)]
    body = most - 2 * context
    count = -(-(frames - 2 * context) // body)
    starts = [min(index * body, frames - most) for index in range(count)]
    edges = [0, *(index * body + context for index in range(1, count)), frames]
    return [Window(starts[i], starts[i] + most, edges[i], edges[i + 1]) for i in range(count)]


def grouped(indices: Sequence[int], batches: Sequence[int]) -> Iterator[tuple[Sequence[int], int]]:
    """Groups of `indices` that share a call, and its rows: the smallest of `batches` that holds the group, else 1."""
    most = batches[-1] if batches else 1
    for start in range(0, len(indices), most):
        group = indices[start : start + most]
        yield group, next((batch for batch in batches if batch >= len(group)), 1)
