"""Who waits, who holds what, and what was delivered: the state of a stage's scheduler, without ray.

One event loop owns a ledger. Waiting is done on asyncio primitives; opening leases is somebody else's (scheduler.py).
All waits use asyncio.timeout: in Python 3.11 asyncio.wait_for can swallow a cancellation that meets a result.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from deployments.engine.work import Event, WorkItem
from deployments.errors import ChoraleError, InvalidInput, Overloaded, SynthesisFailed
from deployments.families.base import Run
from deployments.queue import AgingQueue

MAX_STRIKES = 3
RATE_WINDOW_S = 30.0


@dataclass(slots=True)
class Entry:
    """An item from its submission until its listener has everything."""

    item: WorkItem
    arrival: int = 0
    lease: str | None = None
    delivered: list[Any] = field(default_factory=list)
    end: int | None = None  # index behind the last delivered code
    strikes: int = 0  # leases lost while they held this item
    outbox: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)


@dataclass(slots=True)
class Lease:
    """One query that a replica is busy with. `held` are the ids that it was given and has not finished."""

    id: str
    opened: float
    held: dict[str, None] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    free: bool = False  # an order to give memory back that was not passed on yet
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    closing: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to a pull. `close`: pull no more, finish what is active and end the lease."""

    items: tuple[WorkItem, ...] = ()
    close: bool = False


@dataclass(frozen=True, slots=True)
class Orders:
    """The answer to the poll for cancellations.

    close: this lease is not known (any more), end it at once; free: give back memory that no work needs.
    """

    cancelled: tuple[str, ...] = ()
    close: bool = False
    free: bool = False


class Ledger:
    """The bookkeeping of one stage.

    Attributes:
        slots: items that one replica works on at once.
        max_queue: waiting items beyond which `submit` refuses.
        keep: asked about a lease whenever it pulls; False closes it.
    """

    def __init__(
        self,
        stage: str,
        slots: int,
        max_queue: int,
        *,
        patience: float = 2.0,
        keep: Callable[[Lease], bool] = lambda lease: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stage = stage
        self.slots = slots
        self.max_queue = max_queue
        self.keep = keep
        self.leases: dict[str, Lease] = {}
        self.counts = dict.fromkeys(("completed", "failed", "cancelled", "refused", "requeued", "deaths"), 0)
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._queue: AgingQueue[Entry] = AgingQueue(patience)
        self._work = asyncio.Event()
        self._changed = asyncio.Event()
        self._pollers = 0
        self._finished: deque[float] = deque(maxlen=1024)

    # -- the listener's side ------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        return len(self._entries)

    def refusal(self, item: WorkItem, admitted: bool) -> ChoraleError | None:
        if item.id in self._entries:
            return InvalidInput(f"a request with the id {item.id!r} is being worked on", param="id")
        if not admitted and self.pending >= self.max_queue:
            self.counts["refused"] += 1
            return Overloaded(
                f"{self.pending} pieces of work wait already, as many as are allowed; try again later",
                retry_after=self.retry_after(),
            )
        return None

    async def submit(self, item: WorkItem, admitted: bool = False) -> AsyncGenerator[Event]:
        """The item's events in order. The last one has `done` or `error`, unless the item was cancelled.

        Refusals (Overloaded) come as an event as well. Leaving the iteration early cancels the item.
        """
        refused = self.refusal(item, admitted)
        if refused is not None:
            yield Event(item.id, error=refused)
            return
        entry = self._entries[item.id] = Entry(item)
        entry.arrival = self._queue.put(item.id, entry, item.priority, self._clock())
        self._work.set()
        self._changed.set()
        try:
            while (event := await entry.outbox.get()) is not None:
                yield event
                if event.done or event.error is not None:
                    return
        finally:
            if self._entries.get(item.id) is entry:
                self.cancel(item.id)

    def cancel(self, item_id: str) -> bool:
        """Takes the item out of the line, or tells its replica to free its slot. False where it is not known."""
        entry = self._forget(item_id)
        if entry is None:
            return False
        self.counts["cancelled"] += 1
        entry.outbox.put_nowait(None)
        lease = self.leases.get(entry.lease or "")
        if lease is not None:
            lease.held.pop(item_id, None)
            lease.cancelled.append(item_id)
            lease.wake.set()
            self._work.set()
        return True

    def retry_after(self) -> float:
        """Seconds until the line is likely to have moved, from the recent throughput; 1 to 60."""
        rate = self.rate()
        return round(min(60.0, max(1.0, self.pending / (2 * rate) if rate else 1.0)), 1)

    def rate(self) -> float:
        """Finished items a second over the last half minute."""
        now = self._clock()
        while self._finished and self._finished[0] < now - RATE_WINDOW_S:
            self._finished.popleft()
        if not self._finished:
            return 0.0
        return len(self._finished) / max(1.0, now - self._finished[0])

    # -- the replicas' side -------------------------------------------------------------------------------------

    def open_lease(self, lease_id: str) -> Lease:
        lease = self.leases[lease_id] = Lease(lease_id, self._clock())
        return lease

    async def pull(self, lease_id: str, free: int, timeout: float) -> Grant:
        """Up to `free` items for this lease; waits up to `timeout` seconds for the first.

        A grant is capped at an even share of the line among those who ask, so that the first to ask does not take all.
        """
        deadline = self._clock() + timeout
        self._pollers += 1
        try:
            while True:
                lease = self.leases.get(lease_id)
                if lease is None or not self.keep(lease):
                    if lease is not None:
                        lease.closing = True
                    return Grant(close=True)
                if items := self._grant(lease, free):
                    return Grant(items)
                self._work.clear()
                try:
                    async with asyncio.timeout(deadline - self._clock()):
                        await self._work.wait()
                except TimeoutError:
                    return Grant(close=self.leases.get(lease_id) is not lease or not self.keep(lease))
        finally:
            self._pollers -= 1

    def _grant(self, lease: Lease, free: int) -> tuple[WorkItem, ...]:
        room = min(free, math.ceil(self.pending / max(1, self._pollers)))
        items: list[WorkItem] = []
        while len(items) < room and (entry := self._queue.peek()) is not None:
            if self._suspect(lease) or (entry.strikes == MAX_STRIKES - 1 and lease.held):
                break
            self._queue.pop()
            entry.lease = lease.id
            lease.held[entry.item.id] = None
            items.append(_resumed(entry))
        if items and self.pending:
            self._work.set()  # the next in line among those who ask
        return tuple(items)

    def _suspect(self, lease: Lease) -> bool:
        """Whether the lease holds an item on its last chance: such an item runs alone, so that the blame is certain."""
        return any(self._entries[held].strikes == MAX_STRIKES - 1 for held in lease.held)

    async def cancellations(self, lease_id: str, timeout: float) -> Orders:
        """Ids whose slots the lease is to free, and other orders; waits up to `timeout` seconds for the first."""
        lease = self.leases.get(lease_id)
        if lease is not None and not lease.cancelled and not lease.free:
            lease.wake.clear()
            try:
                async with asyncio.timeout(timeout):
                    await lease.wake.wait()
            except TimeoutError:
                pass
        if lease is None or self.leases.get(lease_id) is not lease:
            return Orders(close=True)
        orders = Orders(tuple(lease.cancelled), free=lease.free)
        lease.cancelled, lease.free = [], False
        return orders

    def order_free(self, lease_id: str) -> None:
        """Has the lease's replica give back memory that no work needs; unknown leases are ignored."""
        if (lease := self.leases.get(lease_id)) is not None:
            lease.free = True
            lease.wake.set()

    def deliver(self, lease_id: str, events: list[Event]) -> None:
        """What came on the lease's stream. Events of items that the lease no longer holds are dropped."""
        lease = self.leases.get(lease_id)
        for event in events:
            entry = self._entries.get(event.id)
            if entry is None or lease is None or entry.lease != lease_id:
                continue
            final = event.done or event.error is not None
            event = _unrepeated(event, entry.end)
            if event.value is not None:
                entry.end = event.index + _length(event.value)
                entry.delivered.append(event.value)
            if event.value is not None or final:
                entry.outbox.put_nowait(event)
            if final:
                lease.held.pop(event.id, None)
                self._forget(event.id)
                self._work.set()
                self._finished.append(self._clock())
                self.counts["completed" if event.error is None else "failed"] += 1

    def end_lease(self, lease_id: str, *, died: bool) -> int:
        """The lease is over; what it still held goes back to the head of the line. Returns how many that are."""
        lease = self.leases.pop(lease_id, None)
        if lease is None:
            return 0
        lease.wake.set()
        self.counts["deaths"] += died
        returned = 0
        for item_id in lease.held:
            entry = self._entries.get(item_id)
            if entry is None:
                continue
            entry.lease = None
            entry.strikes += 1
            if entry.strikes >= MAX_STRIKES:
                self._forget(item_id)
                self.counts["failed"] += 1
                entry.outbox.put_nowait(
                    Event(
                        item_id,
                        error=SynthesisFailed(
                            f"the {self.stage} stage broke {entry.strikes} times over this"
                        ),
                    )
                )
                continue
            self._queue.put_back(item_id, entry, entry.arrival)
            returned += 1
        self.counts["requeued"] += returned
        self._work.set()
        self._changed.set()
        return returned

    # -- the lease keeper's side --------------------------------------------------------------------------------

    async def changed(self, timeout: float) -> None:
        """Waits until the number of items in flight may have changed."""
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()

    def touch(self) -> None:
        self._changed.set()

    def nudge(self) -> None:
        """Lets every waiting pull look at its lease again."""
        self._work.set()

    def age(self, lease: Lease) -> float:
        return self._clock() - lease.opened

    def _forget(self, item_id: str) -> Entry | None:
        entry = self._entries.pop(item_id, None)
        if entry is not None:
            self._queue.remove(item_id)
            self._changed.set()
        return entry


def _resumed(entry: Entry) -> WorkItem:
    if not entry.delivered:
        return entry.item
    return replace(entry.item, payload=entry.item.payload.resume(entry.delivered))


def _length(value: Any) -> int:
    return len(value) if isinstance(value, Run) else 1


def _unrepeated(event: Event, end: int | None) -> Event:
    """The event without what lies before `end`, which was delivered before."""
    if end is None or event.value is None or event.index >= end:
        return event
    rest = event.value[end - event.index :] if isinstance(event.value, Run) else ()
    return replace(event, index=end, value=rest if len(rest) else None)
