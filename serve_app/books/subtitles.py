"""Subtitles of a book: SRT and WebVTT.

The times of a segment are those of its sound. A segment that is too long for a screen is split, and its parts share
its time in proportion to their length.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from serve_app.books.timeline import Line

WIDTH, ROWS = 42, 2  # columns and rows on a screen: the usual limits for Latin script


@dataclass(frozen=True, slots=True)
class Cue:
    """rows: the text on the screen; begin, end: in milliseconds."""

    rows: tuple[str, ...]
    begin: int
    end: int


def cues(lines: Iterable[Line], rate: int, origin: int = 0) -> Iterator[Cue]:
    """lines: in order; origin: the sample, at `rate` Hz, that has the time 0."""
    for line in lines:
        parts = split(line.text, WIDTH * ROWS)
        total = sum(map(columns, parts)) or 1
        begin, length, before = line.begin - origin, line.end - line.begin, 0
        for part in parts:
            after = before + columns(part)
            times = [round(1000 * (begin + length * c / total) / rate) for c in (before, after)]
            yield Cue(tuple(split(part, WIDTH)), *times)
            before = after


def srt(lines: Iterable[Line], rate: int, origin: int = 0) -> Iterator[str]:
    """The pieces of a SubRip file. Arguments as of `cues`."""
    for number, cue in enumerate(cues(lines, rate, origin), 1):
        text = "\n".join(cue.rows).replace("-->", "->")  # the arrow separates times
        yield f"{number}\n{_clock(cue.begin, ',')} --> {_clock(cue.end, ',')}\n{text}\n\n"


def vtt(lines: Iterable[Line], rate: int, origin: int = 0) -> Iterator[str]:
    """The pieces of a WebVTT file. Arguments as of `cues`."""
    yield "WEBVTT\n\n"
    for cue in cues(lines, rate, origin):
        text = "\n".join(cue.rows).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        yield f"{_clock(cue.begin, '.')} --> {_clock(cue.end, '.')}\n{text}\n\n"


def columns(text: str) -> int:
    """The width of a text on a terminal or screen: a Chinese character takes two columns."""
    return sum(0 if unicodedata.combining(c) else 2 if _is_wide(c) else 1 for c in text)


def split(text: str, most: int) -> list[str]:
    """Splits a text into parts of similar length, at most `most` columns each, after punctuation if possible.

    A word is only split if it alone is longer.
    """
    pieces = list(_breakable(" ".join(text.split())))
    parts: list[str] = []
    left = sum(map(columns, pieces))
    while left > most:
        wanted = left / math.ceil(left / most)
        part = _first_part(pieces, wanted, most)
        parts.append("".join(pieces[:part]).strip())
        del pieces[:part]
        left = sum(map(columns, pieces))
    parts.append("".join(pieces).strip())
    return [part for part in parts if part]


def _first_part(pieces: list[str], wanted: float, most: int) -> int:
    """How many of the pieces go into a part of about `wanted` columns and at most `most`; at least one."""
    best, least, width = 1, math.inf, 0
    for count, piece in enumerate(pieces, 1):
        width += columns(piece)
        if width - (columns(piece) - columns(piece.rstrip())) > most:
            break
        cost = abs(width - wanted) - (0.3 * wanted if _ends_a_clause(piece) else 0.0)
        if cost < least:
            best, least = count, cost
    return best


def _breakable(text: str) -> Iterator[str]:
    """The text in pieces between which a row may break: words with the blank after them, and wide characters."""
    piece = ""
    for index, c in enumerate(text):
        piece += c
        after = text[index + 1 : index + 2]
        at_blank = c == " "
        at_wide = (_is_wide(c) or _is_wide(after)) and not _clings(after) and after != " "
        if at_blank or (after and at_wide and not _opens(c)) or len(piece) >= WIDTH:
            yield piece
            piece = ""
    if piece:
        yield piece


def _is_wide(c: str) -> bool:
    return bool(c) and unicodedata.east_asian_width(c) in "WF"


def _clings(c: str) -> bool:
    """Whether it must not start a row."""
    return bool(c) and unicodedata.category(c) in ("Po", "Pe", "Pf", "Mn", "Mc")


def _opens(c: str) -> bool:
    return unicodedata.category(c) in ("Ps", "Pi")


def _ends_a_clause(piece: str) -> bool:
    return piece.rstrip(" \"'”’)）」』")[-1:] in set(",;:.!?—–…，。；：！？、")


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"
