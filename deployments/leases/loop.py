"""The replica's half of a lease: the scheduler's orders go to the device loop, its events come back as reports.

Knows no ray: `WorkSource` is the scheduler as the replica sees it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from deployments.contract.work import Event, StageWorker
from deployments.leases.device_loop import DeviceLoop, Session
from deployments.leases.records import Orders

log = logging.getLogger(__name__)

REPORT_PERIOD_S = 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """A message on a lease's stream: events in order, and from time to time the status of the replica.

    freed: the result of an order to free memory, as from `memory.free`.
    """

    events: tuple[Event, ...] = ()
    status: dict[str, Any] | None = None
    freed: dict[str, Any] | None = None


class WorkSource(Protocol):
    def orders(self, lease_id: str, slots: int) -> AsyncGenerator[Orders]:
        """As `Ledger.orders`. Raises any exception when the scheduler does not answer."""
        ...


class LeaseLoop:
    """Runs one lease at a time with a worker of the device loop.

    describe, free: called on the device thread; they return the replica's status and free memory. `free` runs when the
    scheduler orders it, and once when a whole lease has passed without work. leases: their number so far. demand: of
    the whole stage, as the scheduler reported it last; 0 without a lease.
    """

    def __init__(
        self,
        worker: StageWorker,
        device: DeviceLoop,
        describe: Callable[[], dict[str, Any]] = dict,
        free: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.worker = worker
        self.device = device
        self.describe = describe
        self.free = free
        self.leases = 0
        self.demand = 0.0
        self._session: Session | None = None
        self._used = False  # since memory was last freed

    @property
    def failed(self) -> BaseException | None:
        return None if self._session is None else self._session.error

    async def run(self, source: WorkSource, lease_id: str) -> AsyncGenerator[Report]:
        """The reports of a lease, from its start to its end.

        Ends when the scheduler closes the lease and the active items are done, and at once when the scheduler does not
        answer. Leaving the iteration frees all slots. Raises the error of a device step; a further lease then waits.
        """
        if self.failed is not None:
            await asyncio.Event().wait()
        self.leases += 1
        running = asyncio.get_running_loop()
        outbox: asyncio.Queue[Report | None] = asyncio.Queue()

        def post(report: Report | None) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed: nothing listens any more
                running.call_soon_threadsafe(outbox.put_nowait, report)

        session = self._session = self.device.open(
            self.worker, lambda events: post(None if events is None else Report(events))
        )
        tasks = [
            running.create_task(self._obey(source, lease_id, session, post)),
            running.create_task(self._report_status(post)),
        ]
        try:
            ended = False
            while not ended:
                reports = [await outbox.get()]
                while not outbox.empty():
                    reports.append(outbox.get_nowait())
                ended = None in reports
                merged = _merge([report for report in reports if report is not None])
                if merged != Report():
                    yield merged
            if session.error is not None:
                raise session.error
            if session.closing:
                await self._free_after(session)
        finally:
            for task in tasks:
                task.cancel()
            self.demand = 0.0
            self.device.obey(session, Orders(end=True))

    async def _obey(
        self, source: WorkSource, lease_id: str, session: Session, post: Callable[[Report], None]
    ) -> None:
        try:
            async with aclosing(source.orders(lease_id, self.worker.slots)) as stream:
                async for orders in stream:
                    self.demand = orders.demand
                    if orders.free:
                        self.device.thread.submit(lambda: post(Report(freed=self.free())))
                    self.device.obey(session, orders)
        except Exception as error:  # an orphaned lease would hold the replica's only query forever
            reason = type(error).__name__
            log.warning("lease %s: no orders from the scheduler (%s); its slots are freed", lease_id, reason)
            self.device.obey(session, Orders(end=True))

    async def _report_status(self, post: Callable[[Report], None]) -> None:
        while True:
            status = await asyncio.wrap_future(self.device.thread.submit(self.describe))
            post(Report(status=status))
            await asyncio.sleep(REPORT_PERIOD_S)

    async def _free_after(self, session: Session) -> None:
        """Frees memory if a whole lease has passed without work since it was last freed."""
        if session.worked:
            self._used = True
        elif self._used:
            self._used = False
            await asyncio.wrap_future(self.device.thread.submit(self.free))


def _merge(reports: list[Report]) -> Report:
    events = tuple(event for report in reports for event in report.events)
    statuses = [report.status for report in reports if report.status is not None]
    freed = [report.freed for report in reports if report.freed is not None]
    return Report(events, statuses[-1] if statuses else None, freed[-1] if freed else None)
