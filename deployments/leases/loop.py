"""The replica's half of a lease: a streaming query during which the device thread executes the scheduler's orders.

Three parties share a lease: the device thread admits, steps and frees at step boundaries; the event loop listens to the
orders, a stream in the other direction, and streams reports; the scheduler is at the other end of both. Knows no ray:
`WorkSource` is the scheduler as the replica sees it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import queue
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Protocol

from deployments.contract.errors import ChoraleError, SynthesisFailed
from deployments.contract.work import Event, StageWorker, WorkItem
from deployments.leases.records import Orders

log = logging.getLogger(__name__)

REPORT_PERIOD_S = 2.0
# Ray keeps some 200 bytes for every item of a stream until the stream ends (measured with 2.60), and a busy lease never
# does: after so many reports a query ends, and the lease goes on in the next one.
REPORTS_PER_QUERY = 10_000
CARRY_S = 10.0  # for the next query to come


@dataclass(frozen=True, slots=True)
class Report:
    """A message on a lease's stream: events in order, and from time to time the status of the replica.

    freed: the result of an order to free memory, as from `memory.free`.
    more: the query ends here, and the lease continues in the next query with its id.
    """

    events: tuple[Event, ...] = ()
    status: dict[str, Any] | None = None
    freed: dict[str, Any] | None = None
    more: bool = False


class WorkSource(Protocol):
    def orders(self, lease_id: str, slots: int) -> AsyncGenerator[Orders]:
        """As `Ledger.orders`. Raises, whatever it is, when the scheduler does not answer."""
        ...


class Executor(Protocol):
    """What is needed of the device thread: everything handed in runs there, one thing after the other."""

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]: ...


# ("admit", WorkItem), ("cancel", id), ("free", None), ("close", None): no more will come, ("abort", None)
Command = tuple[str, Any]
Post = Callable[[Report], None]


class LeaseLoop:
    """Runs one lease at a time with a worker on the device thread.

    describe, free: called on that thread; they return the replica's status and free memory. `free` runs between two
    steps when the scheduler orders it, and once when a whole lease has passed without work.

    Attributes:
        failed: the error that a step raised. The device is then unusable, and the replica should be replaced.
    """

    def __init__(
        self,
        worker: StageWorker,
        device: Executor,
        describe: Callable[[], dict[str, Any]] = dict,
        free: Callable[[], dict[str, Any]] = dict,
        reports_per_query: int = REPORTS_PER_QUERY,
    ) -> None:
        self.worker = worker
        self.device = device
        self.describe = describe
        self.free = free
        self.reports_per_query = reports_per_query
        self.failed: BaseException | None = None
        self.leases = self.queries = 0
        self._carried: _Lease | None = None  # between two queries
        self._beat: float | None = None
        self._used = False  # since memory was last given back

    @property
    def silent_s(self) -> float | None:
        """Seconds since the device thread last came to a step boundary; None while no lease runs."""
        beat = self._beat
        return None if beat is None else time.monotonic() - beat

    async def run(self, source: WorkSource, lease_id: str, resume: bool = False) -> AsyncIterator[Report]:
        """Serves one query: a new lease, or with `resume` the continuation of the current one.

        Ends when the scheduler closes the lease and the active items are done. Ends at once when the scheduler does
        not answer, or when the replica waits for another query. Ends with `more` when the lease continues in the next
        query, which must arrive within CARRY_S. Abandoning the iteration frees all slots at once. Raises the error of
        a device step.
        """
        if self.failed is not None and not resume:
            await asyncio.Event().wait()  # holds the query without taking work, until the replica is replaced
        if (self._carried.id if self._carried else None) != (lease_id if resume else None):
            return
        lease, self._carried = self._carried or self._begin(source, lease_id), None
        if lease.expiry is not None:
            lease.expiry.cancel()
        self.queries += 1
        goes_on = False
        try:
            for count in itertools.count(1):
                reports = [await lease.outbox.get()]
                while not lease.outbox.empty():
                    reports.append(lease.outbox.get_nowait())
                ended = reports[-1] is None
                merged = _merge([report for report in reports if report is not None])
                goes_on = not ended and count >= self.reports_per_query
                if goes_on:
                    self._carry(lease)
                if merged != Report() or goes_on:
                    yield replace(merged, more=goes_on)
                if ended:
                    lease.drive.result()
                if ended or goes_on:
                    return
        finally:
            if not goes_on:
                lease.abort()

    def _begin(self, source: WorkSource, lease_id: str) -> _Lease:
        self.leases += 1
        loop = asyncio.get_running_loop()
        mailbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
        outbox: asyncio.Queue[Report | None] = asyncio.Queue()

        def post(report: Report) -> None:
            loop.call_soon_threadsafe(outbox.put_nowait, report)

        drive = asyncio.wrap_future(self.device.submit(self._drive, mailbox, post))
        drive.add_done_callback(lambda done: (done.cancelled() or done.exception(), outbox.put_nowait(None)))
        task = loop.create_task(_obey(source, lease_id, self.worker.slots, mailbox))
        return _Lease(lease_id, mailbox, outbox, drive, task)

    def _carry(self, lease: _Lease) -> None:
        """Keeps the lease at work between two queries; not for ever."""

        def expire() -> None:
            if self._carried is lease:
                self._carried = None
                lease.abort()

        self._carried, lease.expiry = lease, asyncio.get_running_loop().call_later(CARRY_S, expire)

    def _drive(self, mailbox: queue.SimpleQueue[Command], post: Post) -> None:
        """On the device thread, for the whole lease: commands at step boundaries, asleep while nothing is to do."""
        worker, active, closing, worked = self.worker, set[str](), False, False
        reported = -math.inf
        try:
            while True:
                self._beat = now = time.monotonic()
                if now - reported >= REPORT_PERIOD_S:
                    reported = now
                    post(Report(status=self.describe()))
                for kind, value in _commands(mailbox, wait=0.0 if active or closing else REPORT_PERIOD_S):
                    if kind == "abort":
                        return
                    if kind == "close":
                        closing = True
                    elif kind == "free":
                        post(Report(freed=self.free()))
                    elif kind == "cancel":
                        worker.cancel(value)
                        active.discard(value)
                    elif (error := _admit(worker, value)) is None:
                        active.add(value.id)
                    else:
                        post(Report((Event(value.id, error=error),)))
                if active:
                    worked = self._used = True
                    events = worker.step()
                    active.difference_update(
                        event.id for event in events if event.done or event.error is not None
                    )
                    if events:
                        post(Report(tuple(events)))
                elif closing:
                    if self._used and not worked:  # nobody has waited for a whole lease
                        self._used = False
                        self.free()
                    return
        except BaseException as error:
            self.failed = error
            log.exception("a device step failed; this replica accepts no more work")
            raise
        finally:
            self._beat = None
            if self.failed is None:
                for item_id in active:
                    worker.cancel(item_id)


@dataclass(slots=True)
class _Lease:
    """What goes on from one query to the next. drive: done when the device thread has left the lease."""

    id: str
    mailbox: queue.SimpleQueue[Command]
    outbox: asyncio.Queue[Report | None]
    drive: asyncio.Future[None]
    obey: asyncio.Task[None]
    expiry: asyncio.TimerHandle | None = None  # of being carried

    def abort(self) -> None:
        self.mailbox.put(("abort", None))
        self.obey.cancel()


async def _obey(source: WorkSource, lease_id: str, slots: int, mailbox: queue.SimpleQueue[Command]) -> None:
    try:
        while True:
            async with aclosing(source.orders(lease_id, slots)) as stream:
                async for orders in stream:
                    for item_id in orders.cancelled:
                        mailbox.put(("cancel", item_id))
                    for item in orders.items:
                        mailbox.put(("admit", item))
                    if orders.free:
                        mailbox.put(("free", None))
                    if orders.close:
                        mailbox.put(("close", None))
                    if orders.end:
                        mailbox.put(("abort", None))
                        return
    except Exception as error:
        # An orphaned lease would hold the replica's only query for ever.
        log.warning(
            "lease %s: the scheduler does not answer (%s); releasing the slots",
            lease_id,
            type(error).__name__,
        )
        mailbox.put(("abort", None))


def _commands(mailbox: queue.SimpleQueue[Command], wait: float) -> list[Command]:
    """All waiting commands; blocks up to `wait` seconds for the first."""
    commands: list[Command] = []
    try:
        commands.append(mailbox.get(timeout=wait) if wait else mailbox.get_nowait())
        while True:
            commands.append(mailbox.get_nowait())
    except queue.Empty:
        return commands


def _admit(worker: StageWorker, item: WorkItem) -> ChoraleError | None:
    try:
        worker.admit(item)
    except ChoraleError as error:
        return error
    except Exception:
        log.exception("item %s could not be admitted", item.id)
        return SynthesisFailed("the model could not start this request")
    return None


def _merge(reports: list[Report]) -> Report:
    events = tuple(event for report in reports for event in report.events)
    statuses = [report.status for report in reports if report.status is not None]
    freed = [report.freed for report in reports if report.freed is not None]
    return Report(events, statuses[-1] if statuses else None, freed[-1] if freed else None)
