"""Splits pieces into sentences, which the GPT speaks one at a time, by the published rules."""

from collections.abc import Iterable
from itertools import zip_longest

ENDS = frozenset((".", "!", "?", "▁.", "▁?", "▁..."))  # "▁!" is not in the published vocabulary
COMMAS = frozenset((",", "▁,"))
HYPHENS = frozenset("-")
APOSTROPHES = frozenset(("'", "▁'"))


def split_sentences(pieces: list[str], limit: int) -> list[list[str]]:
    """Sentences of at most `limit` pieces, or `limit` + 1 with an apostrophe that follows an end mark.

    A sentence ends at an end mark that is at least its third piece. A sentence above the limit is cut at its commas, or
    else at its hyphens, or else after `limit` pieces. Then neighbours that fit into the limit together are joined. As
    in the published code, an apostrophe after the mark closes its sentence and also opens the next one (it is meant as
    a closing quotation mark). Raises ValueError for a limit below 1.
    """
    if limit < 1:
        raise ValueError(f"limit {limit} must be at least 1")
    return _joined(_closed(pieces, ENDS, limit), limit)


def _closed(pieces: list[str], marks: frozenset[str], limit: int) -> list[list[str]]:
    """Cuts `pieces` after `marks`. Parts without a mark within the limit are cut in other ways."""
    sentences: list[list[str]] = []
    current: list[str] = []
    for piece, following in zip_longest(pieces, pieces[1:]):
        current.append(piece)
        if len(current) > limit:
            sentences += _cut(current, limit)
            current = []
        elif piece in marks and len(current) > 2:
            sentences.append([*current, following] if following in APOSTROPHES else current)
            current = []
    return [*sentences, current] if current else sentences


def _cut(sentence: list[str], limit: int) -> list[list[str]]:
    """Cuts a sentence of limit + 1 pieces at the first kind of mark that it has, or else after `limit` pieces."""
    for marks in (COMMAS, HYPHENS):
        ends = (i for i, piece in enumerate(sentence[:limit], 1) if piece in marks and i > 2)
        if next(ends, None) is not None:
            return _joined(_closed(sentence, marks, limit), limit)
    return [sentence[:limit], sentence[limit:]]


def _joined(sentences: Iterable[list[str]], limit: int) -> list[list[str]]:
    joined: list[list[str]] = []
    for sentence in sentences:
        if joined and len(joined[-1]) + len(sentence) <= limit:
            joined[-1] = joined[-1] + sentence
        else:
            joined.append(sentence)
    return joined
