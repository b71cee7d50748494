"""When each word or character of a segment is said, from the vocoder's attention to the segment's tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from deployments.contract.speech import Segment

_MARKS = re.compile(r"(?<=.)[\W_]+$", re.DOTALL)  # after a word


@dataclass(frozen=True, slots=True)
class SaidAt:
    """text[begin:end] of the request is said from second `start` to second `stop` of its sound."""

    begin: int
    end: int
    start: float
    stop: float


def said_at(
    segment: Segment, attention: np.ndarray | None, seconds: float, offset: float = 0.0, cut: bool = False
) -> tuple[SaidAt, ...]:
    """The words, or the characters of Chinese, in the order of the text. Their times rise and leave no gap: the pause
    at a mark belongs to the word before it.

    attention: (M, T), as VocodedChunk has it, over the whole segment, which takes `seconds`; offset: where it begins;
    cut: the sound ends before the text. Empty if the attention or the places of the tokens are not known.
    """
    places, span = segment.places, segment.span
    if attention is None or places is None or span is None or not len(attention):
        return ()
    starts = begins(attention.astype(np.float32), not cut)
    firsts: dict[int, int] = {}  # place -> the moment at which its first token begins
    for place, start in zip(places.tolist(), starts.tolist(), strict=True):
        if place >= 0 and start < len(attention):
            firsts.setdefault(place, start)
    words = sorted({place for place in places.tolist() if place >= 0})
    ends = dict(zip(words, [*words[1:], len(segment.text)], strict=True))
    order = sorted(firsts)
    said = np.maximum.accumulate(np.array([firsts[place] for place in order], np.int64))
    moments = [offset + moment * seconds / len(attention) for moment in (*said.tolist(), len(attention))]
    found = []
    for begin, start, stop in zip(order, moments[:-1], moments[1:], strict=True):
        word = _MARKS.sub("", segment.text[begin : ends[begin]])
        found.append(SaidAt(span[0] + begin, span[0] + begin + len(word), start, stop))
    return tuple(found)


def begins(attention: np.ndarray, complete: bool = True) -> np.ndarray:
    """The moment at which each token begins: int64 (T,) rising, M for one that is not reached.

    The likeliest way through the moments (M, T) that begins at the first token, never goes back, and passes over none;
    it ends at the last if `complete`. With fewer moments than tokens it takes several at a time.
    """
    moments, tokens = attention.shape
    most = -(-(tokens - 1) // max(1, moments - 1)) if complete and tokens > moments else 1
    scores = np.log(np.maximum(attention, 1e-6))
    best = np.full(tokens, -np.inf)
    best[0] = scores[0, 0]
    moves = np.zeros((moments, tokens), np.int64)  # tokens passed on the way to each moment
    for moment in range(1, moments):
        ways = np.full((most + 1, tokens), -np.inf)
        for move in range(min(most, tokens - 1) + 1):
            ways[move, move:] = best[: tokens - move]
        moves[moment] = ways.argmax(0)
        best = ways.max(0) + scores[moment]
    at = tokens - 1 if complete else int(best.argmax())
    path = np.empty(moments, np.int64)
    for moment in reversed(range(moments)):
        path[moment] = at
        at -= moves[moment, at]
    return np.searchsorted(path, np.arange(tokens))
