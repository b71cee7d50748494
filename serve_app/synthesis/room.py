"""Whether it makes sense to ask the stages for a slot, as far as this process knows."""

from __future__ import annotations

import time

from deployments.contract.errors import Overloaded
from deployments.contract.work import BACKGROUND

REJECTING_S = 0.5  # after a rejection by the stages, for which this process rejects requests itself


class RejectedBefore(Overloaded):
    """Rejected because another request was, without asking the stages."""


class Room:
    """Keeps an overload away from the stages, and rejects at once what they would reject.

    After a rejection, a request asks them only if a segment of this process has ended since, whose slot it may get, or
    after REJECTING_S, because other processes' segments end too.
    """

    def __init__(self) -> None:
        self._rejection: Overloaded | None = None
        self._until = 0.0  # of time.monotonic()
        self._ended = 0  # segments since the rejection, less the requests that asked

    def check(self, priority: int) -> None:
        """Raises RejectedBefore."""
        if self._rejecting(priority) and not self._ended:
            assert self._rejection is not None
            raise RejectedBefore(self._rejection.message, retry_after=self._rejection.retry_after)

    def enter(self, priority: int) -> None:
        """`check`, by a request that now asks the stages."""
        self.check(priority)
        if self._rejecting(priority):
            self._ended -= 1

    def rejected(self, error: Overloaded) -> None:
        """The stages rejected a request."""
        self._rejection, self._until, self._ended = error, time.monotonic() + REJECTING_S, 0

    def ended(self) -> None:
        """The GPT has finished a segment of this process."""
        self._ended += 1

    def _rejecting(self, priority: int) -> bool:
        return self._rejection is not None and priority < BACKGROUND and time.monotonic() < self._until
