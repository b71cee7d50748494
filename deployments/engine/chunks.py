"""Cutting a stream of codes into chunks for the vocoder: small ones first, for an early sound, then larger."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deployments.families.base import FamilySpec


@dataclass(frozen=True, slots=True)
class Piece:
    """The fields of a VocoderChunk that come from the codes: int64 (left + n + right, *code_shape)."""

    codes: np.ndarray
    left: int
    right: int
    first: int  # index in the segment of codes[0]


class Chunker:
    """One segment's codes, pushed in runs of any length, as pieces that tile them without gap or overlap.

    A piece comes out as soon as its codes and their right context are there. Sizes start at `first` codes and
    grow by `growth` up to `maximum`; the last piece takes up to `first` codes more, so that no sliver is left.
    Codes behind the left context are dropped: at most maximum + both contexts + one run are held.
    """

    def __init__(self, spec: FamilySpec, first: int = 10, growth: float = 2.0, maximum: int = 100) -> None:
        if first < 1 or growth < 1 or maximum < first:
            raise ValueError("a chunk schedule needs 1 <= first <= maximum and growth >= 1")
        self._left, self._right = spec.left_context, spec.right_context
        self._first, self._growth, self._maximum = first, growth, maximum
        self._size = first
        self._held: np.ndarray | None = None  # codes from index `_base` on
        self._base = 0
        self._next = 0  # index of the first code that no piece has
        self._finished = False

    @property
    def held(self) -> int:
        """How many codes are kept."""
        return 0 if self._held is None else len(self._held)

    def push(self, codes: np.ndarray) -> list[Piece]:
        """codes: int64 (n, *code_shape), those that follow the ones pushed before; n may be 0."""
        if self._finished:
            raise ValueError("codes after the end of a segment")
        self._held = codes if self._held is None else np.concatenate((self._held, codes))
        pieces = []
        while self._next + self._size + self._right <= self._end:
            pieces.append(self._piece(self._size, self._right))
        self._drop()
        return pieces

    def finish(self) -> list[Piece]:
        """The rest; a segment without codes has none."""
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
        self._size = min(self._maximum, max(self._size + 1, int(self._size * self._growth)))
        return piece

    def _drop(self) -> None:
        surplus = self._next - self._left - self._base
        if self._held is not None and surplus > 0:
            self._held = self._held[surplus:].copy()
            self._base += surplus
