"""Cuts frames into chunks for the vocoder: a stream, with small chunks first for an early sound, or a long run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from deployments.contract.family import FamilySpec
from deployments.contract.speech import VocoderChunk


@dataclass(frozen=True, slots=True)
class Piece:
    """The fields of a VocoderChunk that come from the frames: (left + n + right, *frame_shape)."""

    frames: np.ndarray
    left: int
    right: int
    first: int  # index in the segment of frames[0]


class Chunker:
    """Cuts one segment's frames, pushed in runs of any length, into pieces without gap or overlap.

    A piece is returned once its frames and their right context are there. Sizes start at `first` frames and grow by
    `growth` up to `maximum`; the last piece takes up to `first` more, so that it is never tiny. Only needed frames are
    held. speed: of the vocoder, on which the context depends.
    """

    def __init__(
        self, spec: FamilySpec, first: int = 10, growth: float = 2.0, maximum: int = 100, speed: float = 1.0
    ) -> None:
        if first < 1 or growth < 1 or maximum < first:
            raise ValueError("a chunk schedule needs 1 <= first <= maximum and growth >= 1")
        self._left, self._right = spec.context(speed)
        self._first, self._growth, self._maximum = first, growth, maximum
        self._size = first
        self._held: np.ndarray | None = None  # frames from index `_base` on
        self._base = 0
        self._next = 0  # index of the first frame of the next piece
        self._finished = False

    @property
    def held(self) -> int:
        """How many frames are kept."""
        return 0 if self._held is None else len(self._held)

    def push(self, frames: np.ndarray) -> list[Piece]:
        """frames: (n, *frame_shape), those that follow the ones pushed before; n may be 0."""
        if self._finished:
            raise ValueError("frames after the end of a segment")
        self._held = frames if self._held is None else np.concatenate((self._held, frames))
        pieces = []
        while self._next + self._size + self._right <= self._end:
            pieces.append(self._piece(self._size, self._right))
        self._drop()
        return pieces

    def finish(self) -> list[Piece]:
        """The rest; a segment without frames has none."""
        self._finished = True
        pieces = []
        while (rest := self._end - self._next) > 0:
            size = rest if rest <= self._size + self._first else self._size
            pieces.append(self._piece(size, min(self._right, rest - size)))
        self._held = None
        return pieces

    @property
    def _end(self) -> int:
        return self._base + self.held

    def _piece(self, size: int, right: int) -> Piece:
        assert self._held is not None
        left = min(self._left, self._next)
        start, stop = self._next - left - self._base, self._next + size + right - self._base
        piece = Piece(self._held[start:stop].copy(), left, right, self._next - left)
        self._next += size
        self._size = grown(self._size, self._growth, self._maximum)
        return piece

    def _drop(self) -> None:
        surplus = self._next - self._left - self._base
        if self._held is not None and surplus > 0:
            self._held = self._held[surplus:].copy()
            self._base += surplus


def grown(size: int, growth: float, maximum: int) -> int:
    """The size of the chunk after one of `size` frames."""
    return min(maximum, max(size + 1, int(size * growth)))


def cut(chunk: VocoderChunk, spec: FamilySpec, most: int) -> list[VocoderChunk]:
    """Splits a chunk into ones of at most `most` frames (views), of about one length. The first has the state.

    A slow one has fewer frames, so that it makes no more sound.
    """
    count = len(chunk.frames) - chunk.left - chunk.right
    parts = -(-count // max(1, int(most * min(1.0, chunk.speed))))
    return _parts(chunk, spec, [count * part // parts for part in range(1, parts)])


def cut_again(chunk: VocoderChunk, spec: FamilySpec) -> list[VocoderChunk]:
    """The chunks that this one repeats, by its `cuts`."""
    return _parts(chunk, spec, chunk.cuts)


def _parts(chunk: VocoderChunk, spec: FamilySpec, cuts: Sequence[int]) -> list[VocoderChunk]:
    """cuts: frames of sound after which the chunk is cut, ascending."""
    if not cuts:
        return [chunk]
    edges = [chunk.left + cut for cut in (0, *cuts)] + [len(chunk.frames) - chunk.right]
    chunks, (left, right) = [], spec.context(chunk.speed)
    for start, stop in pairwise(edges):
        begin = max(0, start - left)
        end = min(len(chunk.frames), stop + right)
        piece = replace(
            chunk,
            frames=chunk.frames[begin:end],
            left=start - begin,
            right=end - stop,
            first=chunk.first + begin,
            state=None if chunks else chunk.state,
            cuts=(),
        )
        chunks.append(piece)
    return chunks
