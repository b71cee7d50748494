"""Checks whether codes can be the speech of a segment: a model may run on, repeat itself, or stop early."""

from __future__ import annotations

from collections import deque

import numpy as np

from deployments.contract.controls import RETRY
from deployments.contract.family import FamilySpec
from deployments.contract.speech import Run, Sampling, Segment

LOOP_S = 1.6  # a repetition of this length is not speech
ROUNDS = 4  # least repetitions of a loop
LONGEST_ROUND_S = 0.8
SLACK_S = 2.0  # that a segment may exceed the limit from its tokens: short ones have pauses, too


class Implausible(Exception):
    """The codes cannot be speech. The message is for the log."""


class Watch:
    """Watches one segment's codes as they arrive, if the family declares what is plausible."""

    def __init__(self, spec: FamilySpec, segment: Segment, sampling: Sampling) -> None:
        self._watches = spec.plausible_codes is not None and bool(sampling.controls.get(RETRY, True))
        fewest, most = spec.plausible_codes or (0.0, 0.0)
        per_second, tokens = spec.codes_per_second, len(segment.token_ids)
        self._fewest = min(fewest * tokens / sampling.speed, sampling.max_tokens)
        self._most = most * tokens / min(sampling.speed, 1) + SLACK_S * per_second  # haste spares the pauses
        self._may_be_cut = sampling.max_tokens < spec.max_tokens  # as the caller asked
        self._spoken, self._cut = 0, False
        self._loop, self._round = round(LOOP_S * per_second), round(LONGEST_ROUND_S * per_second)
        self._tail: deque[int] = deque(maxlen=max(self._loop, ROUNDS * self._round))

    def take(self, run: Run) -> None:
        """Raises Implausible if the segment is too long or repeats itself."""
        if not self._watches:
            return
        codes = run.codes if run.kept is None else run.codes[run.kept]
        self._spoken += len(codes)
        self._cut = run.cut
        if self._spoken > self._most:
            raise Implausible(f"{self._spoken} codes, {self._most:.0f} at most")
        if codes.ndim == 1 and np.issubdtype(codes.dtype, np.integer):
            self._tail.extend(codes.tolist())
            self._check_rounds()

    def finish(self) -> None:
        """Raises Implausible if the segment is too short, or reached the limit without an end."""
        if self._watches and self._spoken < self._fewest:
            raise Implausible(f"{self._spoken} codes, {self._fewest:.0f} at least")
        if self._watches and self._cut and not self._may_be_cut:
            raise Implausible(f"{self._spoken} codes, the limit, without an end")

    def _check_rounds(self) -> None:
        if len(self._tail) < self._loop:
            return
        tail = np.array(self._tail)
        same = np.flatnonzero(tail[-1 - self._round : -1][::-1] == tail[-1]) + 1  # rounds to look at
        for period in same.tolist():
            length = max(self._loop, ROUNDS * period)
            part = tail[-length:]
            if len(part) == length and np.array_equal(part[period:], part[:-period]):
                raise Implausible(f"the same {period} codes repeat")
