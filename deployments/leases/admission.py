"""How many requests may wait for their first slot."""

import math

QUEUE = 10
PRESSED_S = 3.0


class Admission:
    """Limits the queue of first segments, whose length decides on the first sound once all slots are busy.

    max_queue: how many may wait; None is one for each slot of the working replicas, QUEUE at least, less the slots that
    are kept for bursts. So a burst is accepted. A rejection means that more arrives than the stage can do: until
    PRESSED_S after the last one, none may wait, nor take a slot that is kept for bursts. Then a request is accepted
    if one of the other slots is free, and its first sound is as early as with all of them busy and no queue.

    max_backlog: instead, while replicas are missing, which will take what has accumulated. When they work, this limit
    falls by one with each request that gets a slot, and it ends as soon as none waits.
    """

    def __init__(self, max_queue: int | None, max_backlog: int) -> None:
        self.max_queue, self.max_backlog = max_queue, max_backlog
        self._allowed = 0  # what is left of the backlog's limit
        self._pressed_until = -math.inf

    def pressed(self, now: float) -> bool:
        """Whether a request was rejected a short time ago."""
        return now < self._pressed_until

    def limit(self, slots: int, missing: bool, now: float, burst_slots: int = 0) -> int:
        """slots, burst_slots: of the working replicas. missing: whether others should work."""
        if missing:
            self._allowed = self.max_backlog
        if self.pressed(now):
            return self._allowed
        usual = max(0, max(QUEUE, slots) - burst_slots) if self.max_queue is None else self.max_queue
        return max(self._allowed, usual)

    def granted(self, waiting: int) -> None:
        """A request got its first slot, and `waiting` others wait."""
        self._allowed = max(0, self._allowed - 1) if waiting else 0

    def rejected(self, now: float) -> None:
        self._pressed_until = now + PRESSED_S
