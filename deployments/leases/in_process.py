"""The schedulers of several stages and their leases within one process, for a service without Ray."""

import asyncio
import itertools
import logging
import math
import threading
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from deployments.contract.errors import SynthesisFailed
from deployments.contract.work import Event, StageWorker, WorkItem
from deployments.leases.device_loop import DeviceLoop, Executor
from deployments.leases.ledger import Ledger
from deployments.leases.loop import LeaseLoop

log = logging.getLogger(__name__)


class InProcessScheduler:
    """A ledger and a lease for each worker, on an event loop of its own thread. Callers may be on any event loop.

    A turn of the device steps the workers in their order. A request waits for its first slot as long as it takes.
    """

    def __init__(
        self, thread: Executor, workers: Mapping[str, StageWorker], first_share: float, queued_per_slot: int
    ) -> None:
        self.workers = dict(workers)
        self.ledgers: dict[str, Ledger] = {}
        for name, worker in workers.items():
            queue = queued_per_slot * worker.slots
            self.ledgers[name] = Ledger(
                name, worker.slots, queue, max_wait_s=math.inf, first_share=first_share
            )
        self._device = DeviceLoop(thread)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scheduler", daemon=True)
        self._thread.start()
        self._leases = [asyncio.run_coroutine_threadsafe(self._lease(name), self._loop) for name in workers]

    async def _lease(self, stage: str) -> None:
        """A lease that never ends. After a failed step the next one begins, as on another replica."""
        ledger = self.ledgers[stage]
        for number in itertools.count():
            lease_id = f"{stage}.{number}"
            ledger.open_lease(lease_id)
            try:
                async for report in LeaseLoop(self.workers[stage], self._device).run(ledger, lease_id):
                    ledger.deliver(lease_id, list(report.events))
            except Exception as error:
                log.warning("%s: lease %s failed (%r)", stage, lease_id, error)
            finally:
                ledger.end_lease(lease_id, died=True)
            await asyncio.sleep(
                0
            )  # on a closed device thread a lease fails before it waits, and `close` needs the loop

    async def events(self, stage: str, item: WorkItem, admitted: bool) -> AsyncGenerator[Event]:
        """The item's events; leaving early cancels it. Raises an event's error, and SynthesisFailed if cancelled."""
        caller, inbox = asyncio.get_running_loop(), asyncio.Queue[Event | None]()

        def post(event: Event | None) -> None:
            if not caller.is_closed():
                caller.call_soon_threadsafe(inbox.put_nowait, event)

        async def work() -> None:
            try:
                async for event in self.ledgers[stage].submit(item, admitted):
                    post(event)
            finally:
                post(None)

        working = asyncio.run_coroutine_threadsafe(work(), self._loop)
        try:
            while (event := await inbox.get()) is not None:
                if event.error is not None:
                    raise event.error
                yield event
                if event.done:
                    return
            raise SynthesisFailed("the work was cancelled", code="cancelled")
        finally:
            working.cancel()

    def cancel(self, item_id: str) -> None:
        """Unknown ids are ignored."""

        async def cancel() -> None:  # a task, as the work is: so it cannot overtake it
            for ledger in self.ledgers.values():
                ledger.cancel(item_id)

        asyncio.run_coroutine_threadsafe(cancel(), self._loop)

    def status(self) -> dict[str, Any]:
        return {
            name: {
                "ready": True,
                "slots": ledger.slots,
                "active": ledger.in_flight - ledger.pending,
                "pending": ledger.pending,
                **ledger.counts,
            }
            for name, ledger in self.ledgers.items()
        }

    def close(self) -> None:
        """Cancels all work. May be called again."""
        if self._loop.is_closed():
            return

        async def end() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
