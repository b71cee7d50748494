"""Splits a text into segments: at paragraphs, at sentences, and inside long sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import sentencex

from deployments.text.normalise import LONG_PAUSE, SHORT_PAUSE, Word

# Phones of one segment with its edge pauses: 8 to 9 seconds of speech, at most 12. The voice was trained on utterances
# of up to 9 seconds.
MAX_PHONES = 100

_WINDOW = 4000  # characters per call of the sentence splitter, which is not linear on every input
_PARAGRAPH = re.compile(r"\n[ \t]*(?:\n[ \t]*)+|\n(?=[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t])")
_ITEM_NUMBER = re.compile(r"\s*\d{1,3}[.)]\s*")
_BLANK = re.compile(r"\s")
_UNFINISHED = re.compile(
    r"(?:^|[\s(])(?:approx|no|nos|vol|fig|figs|pp|p|ch|sec|eq|art|ca|vs|cf|e\.g|i\.e|mr|mrs|ms|dr|prof|st|mt|gen|col|capt|lt|sgt|"
    r"rev|sen|rep|gov|jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec)\.\s*$",
    re.IGNORECASE,
)
_CONJUNCTIONS = frozenset(
    "and or but nor so yet because although though while when after before until since if unless that which "
    "who where "
    "whether as than".split()
)
_PREPOSITIONS = frozenset(
    "of in on at to for with from by about into over under between through during without against".split()
)
# bound to the next word
_BOUND = frozenset("a an the my your his her its our their this these those no every each".split())


def paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """The spans between blank lines. A list item also begins a paragraph."""
    start = 0
    for match in _PARAGRAPH.finditer(text):
        yield start, match.start()
        start = match.end()
    yield start, len(text)


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The spans of the sentences of text[start:end], whitespace included."""
    first = begin = start  # begin: the start of the current sentence
    while start < end:
        stop = _window_end(text, start, end)
        pieces = sentencex.segment("en", text[start:stop])  # pyright: ignore[reportAttributeAccessIssue]
        if stop < end and len(pieces) > 1:
            stop -= len(pieces.pop())  # may be truncated; it is read again in the next window
        for piece in pieces:
            start += len(piece)
            if start < end and _goes_on(
                text[max(begin, start - 24) : start], text[start : start + 2], begin == first
            ):
                continue
            yield begin, start
            begin = start
        start = stop
    if begin < end:
        yield begin, end


def _window_end(text: str, start: int, end: int) -> int:
    if end - start <= _WINDOW:
        return end
    blank = _BLANK.search(text, start + _WINDOW, min(end, start + 2 * _WINDOW))
    return blank.end() if blank else min(end, start + 2 * _WINDOW)


def _goes_on(tail: str, following: str, opens: bool) -> bool:
    """True if the split is wrong: after an abbreviation, or after the number of a list item (`opens` a paragraph)."""
    if following[:1] in set("–-,;)=") or (opens and _ITEM_NUMBER.fullmatch(tail)):
        return True
    return bool(_UNFINISHED.search(tail)) and not following[:1].isspace()


def cut(words: Sequence[Word], sizes: Sequence[int], limit: int) -> list[int]:
    """Indices that split the words of a sentence into runs of at most `limit` phones.

    sizes: phones of each word, none above `limit`. The runs have similar lengths. Cuts are preferred, in this order,
    at clauses, commas, conjunctions, prepositions, and other places.
    """
    cuts: list[int] = []
    begin, left = (
        0,
        sum(sizes) + sum(bool(w.pause) for w in words[:-1]),
    )  # an edge pause follows the last word
    while left > limit:
        aim = left / -(-left // limit)
        total, best, best_cost = 0, begin + 1, float("inf")
        for index in range(begin, len(words)):
            total += sizes[index]
            if total > limit:
                break
            cost = abs(total - aim) / limit + _reluctance(words, index)
            if cost <= best_cost and index + 1 < len(words):
                best, best_cost = index + 1, cost
            total += bool(words[index].pause)
        cuts.append(best)
        left -= sum(sizes[begin:best]) + sum(bool(w.pause) for w in words[begin:best])
        begin = best
    return cuts


def _reluctance(words: Sequence[Word], index: int) -> float:
    """The cost of a cut after the word `index`, as a fraction of a segment's length."""
    word = words[index]
    if word.pause == LONG_PAUSE:
        return 0.0
    if word.pause == SHORT_PAUSE:
        return 0.1
    following = words[index + 1].text if index + 1 < len(words) else ""
    if word.text in _BOUND:
        return 2.0
    if following in _CONJUNCTIONS:
        return 0.4
    return 0.7 if following in _PREPOSITIONS else 1.0
