"""Where a long run of words is cut into segments."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.text.words import Word

# Phones of one segment, its edge pauses included: 8 to 9 seconds of speech, at most 12. The voice was trained on
# utterances of up to 9 seconds.
MAX_PHONES = 100

_CONJUNCTIONS = frozenset(
    "and or but nor so yet because although though while when after before until since if unless that which "
    "who where "
    "whether as than".split()
)
_PREPOSITIONS = frozenset(
    "of in on at to for with from by about into over under between through during without against".split()
)
_BOUND = frozenset(
    "a an the my your his her its our their this these those no every each".split()
)  # to the next word
_OPENING = "([{<\"'$£€¥#+-–—（《【「『“‘"


def cut(words: Sequence[Word], sizes: Sequence[int], limit: int) -> list[int]:
    """Indices where the words of a sentence are cut so that no run has more than `limit` phones.

    sizes: phones of each word. The runs come out of like length, cut at commas rather than at conjunctions,
    prepositions, anywhere. A word longer than `limit` must not occur.
    """
    cuts: list[int] = []
    begin, left = (
        0,
        sum(sizes) + sum(bool(w.pause) for w in words[:-1]),
    )  # the edge pause comes behind the last
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
    """The cost of a cut behind the word `index`, in shares of a segment's length."""
    word = words[index]
    if word.pause:
        return 0.1
    following = words[index + 1].text if index + 1 < len(words) else ""
    if word.text in _BOUND:
        return 2.0
    if following in _CONJUNCTIONS:
        return 0.4
    return 0.7 if following in _PREPOSITIONS else 1.0


def before_openers(text: str, at: int) -> int:
    """Moves a cut in front of the brackets and quotes that open the word at `at`."""
    while at and text[at - 1] in _OPENING:
        at -= 1
    return at


def stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends."""
    begin = end - len(text[start:end].lstrip())
    return begin, begin + len(text[begin:end].rstrip())
