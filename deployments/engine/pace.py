"""Who has sounded stands aside for those who have not, as long as his listener's player has something to play."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence

MARGIN_S = 0.1  # for the way through the vocoder, which later chunks may wait for longer than first ones
BUFFER_S = 0.2  # that a player begins late, and then never runs dry for it
_WEIGHT = 0.1  # of a step in the moving average


class Pace:
    """Whether a sequence's next chunk would come too late if it missed a step.

    run_ends: how many codes complete a segment's first chunk, context included, its second, and so on;
    right_context: of these, how many are only context; codes_per_second: what a listener hears; crowd: with fewer
    sequences at work nobody stands aside.
    """

    def __init__(
        self,
        run_ends: Sequence[int],
        right_context: int,
        codes_per_second: float,
        crowd: int = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ends, self._right, self._rate = list(run_ends), right_context, codes_per_second
        self.crowd, self.now = crowd, clock
        self._step_s = 0.0

    def took(self, seconds: float) -> None:
        """A step of all who run took so long."""
        self._step_s += (seconds - self._step_s) * (_WEIGHT if self._step_s else 1.0)

    def can_wait(self, read: int, sounded_at: float) -> bool:
        """Whether the next chunk comes before a player with BUFFER_S runs dry if the next step is not for it.

        read: codes so far; sounded_at: when the first chunk was complete, at which its listener began to hear it.
        """
        chunk = bisect_right(self._ends, read)
        if not chunk:
            return False
        missing = self._ends[chunk] - read if chunk < len(self._ends) else 0  # steps
        heard = sounded_at + (self._ends[chunk - 1] - self._right) / self._rate
        return self.now() + (1 + missing) * self._step_s + MARGIN_S <= heard + BUFFER_S
