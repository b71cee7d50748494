"""A text whose parts were replaced one after another, and where in the original each place of it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

Edit = tuple[int, int, str]  # start and end of the replaced text, and its replacement


class Rewritten:
    """Immutable. `text` is what the original has become."""

    def __init__(self, text: str, layers: tuple[tuple[list[int], list[int]], ...] = ()) -> None:
        self.text = text
        self._layers = layers  # for each rewrite: places in its result, and the same places before it

    def edited(self, edits: Iterable[Edit]) -> Rewritten:
        """edits: in order, without overlaps."""
        pieces: list[str] = []
        new, old = [0], [0]
        at = size = 0
        for start, end, put in edits:
            pieces += self.text[at:start], put
            size += start - at
            new += size, size + len(put)
            old += start, end
            size += len(put)
            at = end
        if not pieces:
            return self
        pieces.append(self.text[at:])
        old.append(len(self.text))
        return Rewritten("".join(pieces), (*self._layers, (new, old)))

    def sub(self, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str | None]) -> Rewritten:
        """`re.sub`; a match for which `replace` returns None stays unchanged."""
        return self.edited(
            (m.start(), m.end(), put)
            for m in pattern.finditer(self.text)
            if (put := replace(m)) is not None and put != m[0]
        )

    def origin(self, at: int) -> int:
        """Where the place `at` of `text` was. At the edge of something deleted: before it."""
        return self.origins([at])[0]

    def origins(self, places: Sequence[int]) -> list[int]:
        """`origin` of each place."""
        at = np.asarray(places, np.int64)
        for new, old in reversed(self._layers):
            edges, before = np.asarray(new), np.asarray(old)
            i = np.searchsorted(edges, at)
            i -= edges[np.minimum(i, len(edges) - 1)] != at  # between two edges, or past the last one
            at = np.minimum(before[i] + at - edges[i], before[i + 1])
        return at.tolist()
