"""The state of a stage's scheduler: waiting items, leases and the items they hold, delivered results.

All waits use asyncio.timeout: in Python 3.11 asyncio.wait_for can swallow a cancellation that meets a result.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace

from deployments.contract.errors import InvalidInput, Overloaded, SynthesisFailed
from deployments.contract.work import Event, WorkItem, log_fields
from deployments.leases.admission import Admission
from deployments.leases.dispatcher import Dispatcher
from deployments.leases.records import MAX_STRIKES, Entry, Lease, Orders

log = logging.getLogger(__name__)

RATE_WINDOW_S = 30.0
HEARTBEAT_S = 2.0
MOST_WAITS = 10_000  # kept until they are taken
# Objects created between two garbage collections of a scheduler's process. Python's 700 would spend a third of the
# processor time of 10,000 sequences in progress: they are all live, and nothing here makes cycles.
COLLECT_EVERY = 10_000


class Ledger:
    """The bookkeeping of one stage. One event loop owns it.

    slots: items that one replica works on at once, without the `burst_slots` that it has in addition (see
    `Dispatcher`). max_queue, max_backlog: how many requests may wait for their first slot (see `Admission`; without
    max_backlog, as many as max_queue), and max_wait_s: for how long, before they are rejected. Work of accepted
    requests does not count and is never rejected; background work does not count.
    max_start_s: for how long they may wait in all while no replica has slots, as after the stage was scaled to zero,
    and for how long a replica counts as missing. wanted: the number of replicas that should work.
    first_share, keep: see `Dispatcher`. demand: the replicas that the work fills on average, for the orders.
    """

    def __init__(
        self,
        stage: str,
        slots: int,
        max_queue: int | None,
        *,
        max_backlog: int | None = None,
        max_wait_s: float = 30.0,
        max_start_s: float = 0.0,
        first_share: float = 0.0,
        burst_slots: int = 0,
        wanted: Callable[[], int] = lambda: 1,
        keep: Callable[[Lease], bool] = lambda lease: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stage = stage
        self.slots = slots
        self.demand = 0.0
        self.admission = Admission(max_queue, max_backlog or max_queue or slots)
        self._wanted = wanted
        self._missing_since: float | None = None  # a replica that should work
        self.max_wait_s, self.max_start_s = max_wait_s, max_start_s
        self._waits: deque[float] = deque(maxlen=MOST_WAITS)
        self._dispatcher = Dispatcher(first_share, keep, self._granted, burst_slots)
        self.leases = self._dispatcher.leases
        self._counts = dict.fromkeys(("completed", "failed", "cancelled", "refused", "requeued", "deaths"), 0)
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._changed = asyncio.Event()
        self._finished: deque[float] = deque(maxlen=1024)

    @property
    def pending(self) -> int:
        return len(self._dispatcher.queue)

    @property
    def newcomers(self) -> int:
        return len(self._dispatcher.newcomers)

    def limit(self) -> int:
        """How many requests may wait for their first slot now."""
        now = self._clock()
        if self._dispatcher.working >= self._wanted():
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = now
        missing = self._missing_since is not None and now - self._missing_since <= self.max_start_s
        dispatcher = self._dispatcher
        return self.admission.limit(
            dispatcher.slots, missing, now, dispatcher.working * dispatcher.burst_slots
        )

    @property
    def closing(self) -> int:
        """Leases that get no more work and end when theirs is done."""
        return self._dispatcher.closing

    @property
    def counts(self) -> dict[str, int]:
        return {**self._counts, "interrupted": self._dispatcher.interrupted}

    @property
    def in_flight(self) -> int:
        return len(self._entries)

    def _refusal(self, entry: Entry) -> Overloaded | None:
        """Of a request that has just come and been handed out, if it could be."""
        if entry.lease is not None or entry.item.background or self.newcomers <= self.limit():
            return None
        others = self.newcomers - 1
        waiting = f" and {others} requests are waiting" if others else ""
        return self._overloaded(entry.item, f"no slot is free{waiting}")

    def _overloaded(self, item: WorkItem, reason: str) -> Overloaded:
        self._counts["refused"] += 1
        if not item.background:  # which waits because it comes last, not because too much arrives
            self.admission.rejected(self._clock())
        return Overloaded(f"{reason}; try again later", retry_after=self.retry_after())

    async def submit(self, item: WorkItem, admitted: bool = False) -> AsyncGenerator[Event]:
        """The item's events in order. The last one has `done` or `error`, unless the item was cancelled.

        A rejection (Overloaded) is an event too. Leaving the iteration early cancels the item.
        """
        if item.id in self._entries:
            message = f"a request with the id {item.id!r} is already in progress"
            yield Event(item.id, error=InvalidInput(message, param="id"))
            return
        now = self._clock()
        entry = self._entries[item.id] = Entry(item, now, burst=not self.admission.pressed(now))
        self._dispatcher.add(entry, now, newcomer=not (admitted or item.background))
        if not admitted:
            entry.expiry = asyncio.get_running_loop().call_later(self.max_wait_s, self._expire, entry)
        self._dispatcher.hand_out()
        self._changed.set()
        if not admitted and (refused := self._refusal(entry)) is not None:
            self._forget(item.id)
            yield Event(item.id, error=refused)
            return
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
        self._counts["cancelled"] += 1
        entry.outbox.put_nowait(None)
        if (lease := self.leases.get(entry.lease or "")) is not None:
            self._dispatcher.withdraw(lease, entry)
            self._dispatcher.hand_out()
        return True

    def _expire(self, entry: Entry) -> None:
        waited = self._clock() - entry.since
        left = min(self.max_wait_s, self.max_start_s - waited)
        if left > 0 and not any(lease.slots for lease in self.leases.values()):
            entry.expiry = asyncio.get_running_loop().call_later(left, self._expire, entry)
            return
        self._forget(entry.item.id)
        refused = self._overloaded(
            entry.item, f"no slot was free for {max(self.max_wait_s, round(waited)):g} s"
        )
        entry.outbox.put_nowait(Event(entry.item.id, error=refused))

    def retry_after(self) -> float:
        """Estimated seconds until the queue has moved, from the recent throughput; 1 to 60."""
        rate = self.rate()
        return round(min(60.0, max(1.0, self.pending / (2 * rate) if rate else 1.0)), 1)

    def take_waits(self) -> list[float]:
        """The seconds that requests waited for their first slot, since the last call."""
        waits = list(self._waits)
        self._waits.clear()
        return waits

    def queue_age(self) -> float:
        """The seconds that the oldest waiting item has waited, without background work. 0 if none waits."""
        waiting = (entry.since for entry in self._dispatcher.queue if not entry.item.background)
        return self._clock() - min(waiting, default=self._clock())

    def _log(self, entry: Entry, event: Event) -> None:
        if log.isEnabledFor(logging.DEBUG):
            seconds, outcome = (
                self._clock() - entry.since,
                "done" if event.error is None else event.error.code,
            )
            fields = log_fields(event.id)
            log.debug("%s: item %s is %s after %.3f s", self.stage, event.id, outcome, seconds, extra=fields)

    def _granted(self, entry: Entry) -> None:
        self._waits.append(self._clock() - entry.since)
        self.admission.granted(self.newcomers - 1)

    def rate(self) -> float:
        """Finished items per second over the last half minute."""
        now = self._clock()
        while self._finished and self._finished[0] < now - RATE_WINDOW_S:
            self._finished.popleft()
        if not self._finished:
            return 0.0
        return len(self._finished) / max(1.0, now - self._finished[0])

    def open_lease(self, lease_id: str) -> Lease:
        lease = Lease(lease_id, self._clock())
        self._dispatcher.open(lease)
        return lease

    async def orders(
        self, lease_id: str, slots: int, heartbeat_s: float = HEARTBEAT_S
    ) -> AsyncGenerator[Orders]:
        """The lease's orders until it ends, an empty one each `heartbeat_s`. Opened again, a stream loses nothing."""
        while (lease := self.leases.get(lease_id)) is not None:
            if lease.slots != slots:
                self._dispatcher.resize(lease, slots)
                self._dispatcher.hand_out()
            with suppress(TimeoutError):
                async with asyncio.timeout(heartbeat_s):
                    await lease.wake.wait()
            if self.leases.get(lease_id) is not lease:
                break
            self._dispatcher.keeps(lease)
            yield lease.take(self.demand)
        yield Orders(end=True)

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
                continue  # from before the item was interrupted, when earlier events were dropped
            final = event.done or event.error is not None
            event = _unrepeated(event, entry.end)
            if event.value is not None:
                entry.end = event.index + len(event.value)
                entry.delivered.append(event.value)
            if event.value is not None or final:
                entry.outbox.put_nowait(event)
            if final:
                self._dispatcher.release(lease, entry)
                if entry.item.home is not None:
                    self._dispatcher.homes[entry.item.home] = lease_id
                if entry.interruptions:  # this may end an earlier run, while a second one continues
                    lease.order_cancel(event.id)
                self._forget(event.id)
                self._log(entry, event)
                self._dispatcher.hand_out()
                self._finished.append(self._clock())
                self._counts["completed" if event.error is None else "failed"] += 1

    def end_lease(self, lease_id: str, *, died: bool) -> int:
        """Ends the lease. Its unfinished items return to the head of the queue. Returns their number."""
        lease = self._dispatcher.close(lease_id)
        if lease is None:
            return 0
        lease.wake.set()
        self._counts["deaths"] += died
        returned = 0
        for item_id, entry in lease.held.items():
            entry.strikes += 1
            if entry.strikes >= MAX_STRIKES:
                self._forget(item_id)
                self._counts["failed"] += 1
                error = f"the {self.stage} stage failed {entry.strikes} times while it processed this request"
                entry.outbox.put_nowait(Event(item_id, error=SynthesisFailed(error)))
                continue
            self._dispatcher.put_back(entry)
            returned += 1
        self._counts["requeued"] += returned
        self._dispatcher.hand_out()
        self._changed.set()
        return returned

    async def changed(self, timeout: float) -> None:
        """Waits until the number of items in flight may have changed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        self._changed.clear()

    def touch(self) -> None:
        self._changed.set()

    def nudge(self) -> None:
        """Wakes every lease so that it is checked again."""
        for lease in self.leases.values():
            if lease.slots:
                self._dispatcher.keeps(lease)

    def age(self, lease: Lease) -> float:
        return self._clock() - lease.opened

    def _forget(self, item_id: str) -> Entry | None:
        entry = self._entries.pop(item_id, None)
        if entry is not None:
            self._dispatcher.remove(entry)
            self._changed.set()
        return entry


def _unrepeated(event: Event, end: int | None) -> Event:
    """The event without the codes before `end`, which have been delivered."""
    if end is None or event.value is None or event.index >= end:
        return event
    skip = end - event.index
    return replace(event, index=end, value=event.value[skip:] if skip < len(event.value) else None)
