"""The queue of a stage: a pure data structure without a clock, asyncio or ray."""

import heapq
import math
from collections.abc import Iterator
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class AgingQueue(Generic[T]):
    """Lower priority numbers first, equal ones in order of arrival, with aging so that no entry starves.

    An entry is ordered by `arrival + priority * patience`: one level of priority is worth `patience` seconds of
    waiting, so work of priority p overtakes nothing that has waited (q - p) * patience seconds longer at priority q.
    Entries that return (`put_back`) precede all others, in the order of their first arrival.
    """

    def __init__(self, patience: float = 2.0) -> None:
        if patience <= 0:
            raise ValueError("patience must be positive: otherwise low priorities starve")
        self.patience = patience
        self._order = count()
        self._heap: list[tuple[float, int, str]] = []
        self._entries: dict[str, tuple[int, T]] = {}  # by id: arrival number, value

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[T]:
        """The values, in no particular order."""
        return (value for _, value in self._entries.values())

    def put(self, key: str, value: T, priority: float, now: float) -> int:
        """Adds an entry and returns its arrival number, an argument of `put_back`."""
        number = next(self._order)
        self._add(key, value, number, now + priority * self.patience)
        return number

    def put_back(self, key: str, value: T, number: int) -> None:
        self._add(key, value, number, -math.inf)

    def remove(self, key: str) -> T | None:
        """Removes an entry from any position; None if it is not in the queue."""
        entry = self._entries.pop(key, None)
        return None if entry is None else entry[1]

    def peek(self) -> T | None:
        while self._heap:
            _, number, key = self._heap[0]
            entry = self._entries.get(key)
            if entry is not None and entry[0] == number:
                return entry[1]
            heapq.heappop(self._heap)  # removed meanwhile
        return None

    def _add(self, key: str, value: T, number: int, order: float) -> None:
        if key in self._entries:
            raise KeyError(f"{key!r} waits already")
        self._entries[key] = (number, value)
        heapq.heappush(self._heap, (order, number, key))
