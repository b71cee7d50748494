"""Chapters from headings with levels, for Markdown and for an EPUB without a contents list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from serve_app.books.chapter_lines import is_part


def starts(levels: Sequence[int], texts: Sequence[str]) -> list[tuple[int, str]]:
    """Where chapters begin, and their titles. levels: of each block, 1 to 6 for a heading, else 0.

    Chapters begin at the outermost level that occurs twice, and at those above it; if that level holds parts, at the
    next one too. A heading directly below another belongs to the same chapter.
    """
    counts = Counter(level for level in levels if level)
    if not counts:
        return []
    level = next((each for each in sorted(counts) if counts[each] > 1), min(counts))
    outermost = [text for text, each in zip(texts, levels, strict=True) if each == level]
    if sum(map(is_part, outermost)) > 0.5 * len(outermost):
        level = next((each for each in sorted(counts) if each > level), level)
    found: list[tuple[int, str]] = []
    end = -1  # after the last heading of the current chapter
    for at, each in enumerate(levels):
        if 0 < each <= level:
            if at == end and each > levels[at - 1]:
                found[-1] = (found[-1][0], f"{found[-1][1]}. {texts[at]}")
            else:
                found.append((at, texts[at]))
            end = at + 1
    return found


def split_title(levels: Sequence[int], texts: Sequence[str]) -> tuple[str, int]:
    """The book's title and 1 if the first block is the only heading of its level above others, else "" and 0."""
    if levels and levels[0] and levels.count(levels[0]) == 1 and any(level > levels[0] for level in levels):
        return texts[0], 1
    return "", 0
