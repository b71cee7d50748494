"""The state of a stage's scheduler, without ray: waiting items, leases and the items they hold, delivered results.

One event loop owns a ledger. Waiting uses asyncio primitives; scheduler.py opens the leases.
All waits use asyncio.timeout: in Python 3.11 asyncio.wait_for can swallow a cancellation that meets a result.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import replace

from deployments.contract.errors import ChoraleError, InvalidInput, Overloaded, SynthesisFailed
from deployments.contract.work import Event, WorkItem
from deployments.leases.queue import AgingQueue
from deployments.leases.records import Entry, Lease, Orders
from deployments.leases.room import has_room, to_interrupt

MAX_STRIKES = 3
RATE_WINDOW_S = 30.0
HEARTBEAT_S = 2.0


class Ledger:
    """The bookkeeping of one stage.

    Attributes:
        slots: items that one replica works on at once.
        max_queue: requests that may wait for their first slot; `submit` rejects further ones. Work of accepted
            requests does not count and is never rejected.
        max_wait_s: a request that has waited this long for its first slot is rejected.
        first_share: the share of a lease's slots that first segments can take by interrupting later ones (room.py).
        keep: called for a lease whenever it may get work, and at each heartbeat; False closes the lease.
    """

    def __init__(
        self,
        stage: str,
        slots: int,
        max_queue: int,
        *,
        patience: float = 2.0,
        max_wait_s: float = 30.0,
        first_share: float = 0.0,
        keep: Callable[[Lease], bool] = lambda lease: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stage = stage
        self.slots = slots
        self.max_queue = max_queue
        self.max_wait_s = max_wait_s
        self.first_share = first_share
        self.keep = keep
        self.leases: dict[str, Lease] = {}
        self.counts = dict.fromkeys(
            ("completed", "failed", "cancelled", "refused", "requeued", "interrupted", "deaths"), 0
        )
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._queue: AgingQueue[Entry] = AgingQueue(patience)
        self._newcomers: dict[str, Entry] = {}  # requests that wait for their first slot, in order of arrival
        self._changed = asyncio.Event()
        self._finished: deque[float] = deque(maxlen=1024)

    # -- the listener's side ------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        return len(self._queue)

    @property
    def newcomers(self) -> int:
        return len(self._newcomers)

    @property
    def in_flight(self) -> int:
        return len(self._entries)

    def refusal(self, item: WorkItem, admitted: bool) -> ChoraleError | None:
        if item.id in self._entries:
            return InvalidInput(f"a request with the id {item.id!r} is already in progress", param="id")
        if not admitted and self.newcomers >= self.max_queue:
            return self._overloaded(f"{self.newcomers} requests are waiting, which is the limit")
        return None

    def _overloaded(self, reason: str) -> Overloaded:
        self.counts["refused"] += 1
        return Overloaded(f"{reason}; try again later", retry_after=self.retry_after())

    async def submit(self, item: WorkItem, admitted: bool = False) -> AsyncGenerator[Event]:
        """The item's events in order. The last one has `done` or `error`, unless the item was cancelled.

        A rejection (Overloaded) is an event too. Leaving the iteration early cancels the item.
        """
        refused = self.refusal(item, admitted)
        if refused is not None:
            yield Event(item.id, error=refused)
            return
        entry = self._entries[item.id] = Entry(item)
        entry.arrival = self._queue.put(item.id, entry, item.priority, self._clock())
        if not admitted:
            self._newcomers[item.id] = entry
            entry.expiry = asyncio.get_running_loop().call_later(self.max_wait_s, self._expire, entry)
        self._hand_out()
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
        """Removes the item from the queue, or orders its replica to free its slot. False if it is unknown."""
        entry = self._forget(item_id)
        if entry is None:
            return False
        self.counts["cancelled"] += 1
        entry.outbox.put_nowait(None)
        lease = self.leases.get(entry.lease or "")
        if lease is not None:
            self._withdraw(lease, item_id)
            self._hand_out()
        return True

    def _expire(self, entry: Entry) -> None:
        self._forget(entry.item.id)
        refused = self._overloaded(f"no slot was free for {self.max_wait_s:g} s")
        entry.outbox.put_nowait(Event(entry.item.id, error=refused))

    def retry_after(self) -> float:
        """Estimated seconds until the queue has moved, from the recent throughput; 1 to 60."""
        rate = self.rate()
        return round(min(60.0, max(1.0, self.pending / (2 * rate) if rate else 1.0)), 1)

    def rate(self) -> float:
        """Finished items per second over the last half minute."""
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

    async def orders(
        self, lease_id: str, slots: int, heartbeat_s: float = HEARTBEAT_S
    ) -> AsyncGenerator[Orders]:
        """The lease's orders, and an empty one whenever there were none for `heartbeat_s` seconds.

        Ends with the lease. A stream that is left and opened again loses nothing.
        """
        while True:
            if (lease := self.leases.get(lease_id)) is not None and lease.slots != slots:
                lease.slots = slots
                self._hand_out()
            if lease is None or not await self._woken(lease, heartbeat_s):
                yield Orders(end=True)
                return
            self._keeps(lease)
            yield lease.take()

    async def _woken(self, lease: Lease, heartbeat_s: float) -> bool:
        """Waits until there is something to tell, or for the heartbeat. False where the lease is over."""
        try:
            async with asyncio.timeout(heartbeat_s):
                await lease.wake.wait()
        except TimeoutError:
            pass
        return self.leases.get(lease.id) is lease

    def _hand_out(self) -> None:
        """Gives the line's items to the leases: first segments up to their share, then everything in order, and at last
        first segments in the place of later ones, where their share allows it."""
        for entry in self._awaited():
            if not self._give(entry, self._roomy()):
                break
        while (entry := self._queue.peek()) is not None and self._give(entry, self.leases.values()):
            pass
        for entry in self._awaited():
            leases = [lease for lease in self._roomy() if self._keeps(lease) and not self._suspect(lease)]
            found = to_interrupt(leases, self._entries.__getitem__)
            if found is None:
                return
            self._interrupt(*found)
            self._grant(found[0], entry)

    def _give(self, entry: Entry, leases: Iterable[Lease]) -> bool:
        """To the one of `leases` that holds the fewest items; False where none can take it."""
        takers = [lease for lease in leases if self._may_take(lease, entry)]
        if takers:
            self._grant(min(takers, key=lambda lease: len(lease.held)), entry)
        return bool(takers)

    def _grant(self, lease: Lease, entry: Entry) -> None:
        self._queue.remove(entry.item.id)
        self._has_slot(entry)
        entry.lease = lease.id
        lease.held[entry.item.id] = None
        lease.granted.append(_resumed(entry))
        lease.wake.set()

    def _has_slot(self, entry: Entry) -> None:
        """It waits for its first slot no longer."""
        self._newcomers.pop(entry.item.id, None)
        if entry.expiry is not None:
            entry.expiry.cancel()
            entry.expiry = None

    def _awaited(self) -> list[Entry]:
        """First segments that a listener waits for, in order of arrival."""
        return [entry for entry in self._newcomers.values() if entry.awaited] if self.first_share else []

    def _roomy(self) -> list[Lease]:
        """Leases on which first segments have less than their share."""
        entry_of = self._entries.__getitem__
        return [lease for lease in self.leases.values() if has_room(lease, entry_of, self.first_share)]

    def _interrupt(self, lease: Lease, entry: Entry) -> None:
        """Takes the entry's slot; it goes on behind what was delivered, before everything that waits."""
        self._withdraw(lease, entry.item.id)
        entry.lease = None
        entry.interruptions += 1
        self._queue.put_back(entry.item.id, entry, entry.arrival)
        self.counts["interrupted"] += 1

    @staticmethod
    def _withdraw(lease: Lease, item_id: str) -> None:
        """The lease is to work on the item no more."""
        lease.held.pop(item_id, None)
        waiting = [item for item in lease.granted if item.id != item_id]
        if len(waiting) == len(lease.granted):
            lease.cancelled.append(item_id)
            lease.wake.set()
        lease.granted = waiting

    def _may_take(self, lease: Lease, entry: Entry) -> bool:
        if len(lease.held) >= lease.slots or not self._keeps(lease):
            return False
        last_chance = entry.strikes == MAX_STRIKES - 1
        return not (last_chance and lease.held) and not self._suspect(lease)

    def _keeps(self, lease: Lease) -> bool:
        if not lease.closing and not self.keep(lease):
            lease.closing = lease.close = True
            lease.wake.set()
        return not lease.closing

    def _suspect(self, lease: Lease) -> bool:
        """Whether the lease holds an item on its last chance: such an item runs alone, so that the blame is certain."""
        return any(self._entries[held].strikes == MAX_STRIKES - 1 for held in lease.held)

    def order_free(self, lease_id: str) -> None:
        """Orders the lease's replica to free unused memory. Unknown leases are ignored."""
        if (lease := self.leases.get(lease_id)) is not None:
            lease.free = True
            lease.wake.set()

    def deliver(self, lease_id: str, events: list[Event]) -> None:
        """Takes events from the lease's stream. Events of items that the lease no longer holds are dropped."""
        lease = self.leases.get(lease_id)
        for event in events:
            entry = self._entries.get(event.id)
            if entry is None or lease is None or entry.lease != lease_id:
                continue
            if entry.interruptions and event.error is None and event.index > entry.reached:
                continue  # of its first stay on this lease: what came before it was dropped with the interruption
            final = event.done or event.error is not None
            event = _unrepeated(event, entry.end)
            if event.value is not None:
                entry.end = event.index + len(event.value)
                entry.delivered.append(event.value)
            if event.value is not None or final:
                entry.outbox.put_nowait(event)
            if final:
                lease.held.pop(event.id, None)
                if entry.interruptions:  # this may be the end of its first stay, while a second is under way
                    lease.cancelled.append(event.id)
                    lease.wake.set()
                self._forget(event.id)
                self._hand_out()
                self._finished.append(self._clock())
                self.counts["completed" if event.error is None else "failed"] += 1

    def end_lease(self, lease_id: str, *, died: bool) -> int:
        """Ends the lease. Its unfinished items return to the head of the queue. Returns their number."""
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
                            f"the {self.stage} stage failed {entry.strikes} times while it processed this request"
                        ),
                    )
                )
                continue
            self._queue.put_back(item_id, entry, entry.arrival)
            returned += 1
        self.counts["requeued"] += returned
        self._hand_out()
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
        """Wakes every lease so that it is checked again."""
        for lease in self.leases.values():
            if lease.slots:
                self._keeps(lease)

    def age(self, lease: Lease) -> float:
        return self._clock() - lease.opened

    def _forget(self, item_id: str) -> Entry | None:
        entry = self._entries.pop(item_id, None)
        if entry is not None:
            self._queue.remove(item_id)
            self._has_slot(entry)
            self._changed.set()
        return entry


def _resumed(entry: Entry) -> WorkItem:
    if not entry.delivered:
        return entry.item
    return replace(entry.item, payload=entry.item.payload.resume(entry.delivered))


def _unrepeated(event: Event, end: int | None) -> Event:
    """The event without what lies before `end`, which was delivered before."""
    if end is None or event.value is None or event.index >= end:
        return event
    skip = end - event.index
    return replace(event, index=end, value=event.value[skip:] if skip < len(event.value) else None)
