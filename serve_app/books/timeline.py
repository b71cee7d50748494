"""The time of each piece of a book."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A spoken segment. block: its index in the chapter; span: in the block's text; begin, end: in samples."""

    chapter: int
    block: int
    span: tuple[int, int]
    text: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A spoken chapter. chapter: its index in the book; begin: in samples, no later than its first word and no more
    than 30 ms before it; end: where the next one begins, or the book ends.
    """

    chapter: int
    title: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """rate: in Hz; marks: one for each spoken chapter, in order; lines: in order; samples: of the whole book."""

    rate: int
    marks: tuple[Mark, ...]
    lines: tuple[Line, ...]
    samples: int

    def lines_of(self, mark: Mark) -> list[Line]:
        return [line for line in self.lines if line.chapter == mark.chapter]
