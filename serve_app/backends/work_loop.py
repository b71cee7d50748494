"""One device thread that steps several workers in turn: schedulers and replicas of the graph within one process."""

from __future__ import annotations

import asyncio
import heapq
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from deployments.contract.errors import SynthesisFailed
from deployments.contract.work import Event, StageWorker, WorkItem
from deployments.engine.device.thread import DeviceThread

log = logging.getLogger("chorale.local")


@dataclass(slots=True)
class Stage:
    """A worker and its queue: a heap of (priority, order, item)."""

    worker: StageWorker
    heap: list[tuple[int, int, WorkItem]] = field(default_factory=list)

    def admit(self) -> None:
        while self.heap and self.worker.active < self.worker.slots:
            self.worker.admit(heapq.heappop(self.heap)[2])

    def cancel(self, item_id: str) -> None:
        kept = [entry for entry in self.heap if entry[2].id != item_id]
        if len(kept) < len(self.heap):
            self.heap = kept
            heapq.heapify(self.heap)
        self.worker.cancel(item_id)


class WorkLoop:
    """Steps the stages on the device thread while there is work.

    Commands arrive in an inbox that is read between steps. Events go to the event loop that waits for them.
    """

    def __init__(self, thread: DeviceThread, max_queue: int = 0) -> None:
        self.stages: dict[str, Stage] = {}  # the vocoder first: sound goes before codes
        self.max_queue = max_queue
        self._thread = thread
        self._lock = threading.Lock()
        self._inbox: list[Callable[[], None]] = []
        self._turning = False
        self._listeners: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Queue[Event]]] = {}
        self._order = 0

    def newcomers(self, stage: str) -> int:
        """First segments that wait for a slot."""
        return sum(priority == 0 for priority, _, _ in list(self.stages[stage].heap))

    def stats(self) -> dict[str, Any]:
        return {
            name: {
                "ready": True,
                "slots": stage.worker.slots,
                "active": stage.worker.active,
                "pending": len(stage.heap),
            }
            for name, stage in self.stages.items()
        }

    async def events(self, stage: str, item: WorkItem) -> AsyncGenerator[Event, None]:
        """Until the one that is done. Left early, the item is cancelled; an event's error is raised."""
        listener: asyncio.Queue[Event] = asyncio.Queue()
        self._listeners[item.id] = (asyncio.get_running_loop(), listener)
        self._post(lambda: self._submit(stage, item))
        finished = False
        try:
            while not finished:
                event = await listener.get()
                finished = event.done or event.error is not None
                if event.error is not None:
                    raise event.error
                yield event
        finally:
            self._listeners.pop(item.id, None)
            if not finished:
                self.cancel(item.id)

    async def call(self, function: Callable[[], Any]) -> Any:
        """Runs `function` on the device thread, between steps."""
        future: Future[Any] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:
                    future.set_exception(error)

        self._post(run)
        return await asyncio.wrap_future(future)

    def cancel(self, item_id: str) -> None:
        def run() -> None:
            for stage in self.stages.values():
                stage.cancel(item_id)
            self._deliver(Event(item_id, error=SynthesisFailed("The work was cancelled.", code="cancelled")))

        self._post(run)

    def _post(self, command: Callable[[], None]) -> None:
        with self._lock:
            self._inbox.append(command)
            if self._turning:
                return
            self._turning = True
        self._thread.submit(self._turn_until_idle)

    # on the device thread

    def _submit(self, stage: str, item: WorkItem) -> None:
        self._order += 1
        heapq.heappush(self.stages[stage].heap, (item.priority, self._order, item))

    def _turn_until_idle(self) -> None:
        try:
            self._turn()
        except Exception:  # a worker broke its promise: whoever waits must not wait for ever
            log.exception("the work loop failed")
            with self._lock:
                self._turning = False
            for item_id in list(self._listeners):
                self._deliver(Event(item_id, error=SynthesisFailed("The work loop failed.")))

    def _turn(self) -> None:
        while True:
            with self._lock:
                commands, self._inbox = self._inbox, []
                if not commands and not any(s.heap or s.worker.active for s in self.stages.values()):
                    self._turning = False
                    return
            for command in commands:
                command()
            for stage in self.stages.values():
                stage.admit()
                if stage.worker.active:
                    for event in stage.worker.step():
                        self._deliver(event)

    def _deliver(self, event: Event) -> None:
        if (listener := self._listeners.get(event.id)) is not None:
            loop, queue = listener
            try:
                loop.call_soon_threadsafe(queue.put_nowait, event)
            except RuntimeError:  # that loop is closed: nobody waits any more
                self._listeners.pop(event.id, None)
