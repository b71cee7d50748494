"""A cluster in virtual time: the real ledger of a stage, and simulated replicas that take the steps of a real one.

The clock jumps from one event to the next, and advances by the CPU time that the scheduler's own code takes. So the
scheduler is a server with one core, as in its own process, while replicas and clients cost no time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import selectors
import statistics
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Generator, Sequence
from typing import Any, TypeVar

import numpy as np

from deployments.contract.speech import GptRequest, Run, Sampling, Segment, VoicePrompt
from deployments.contract.work import Event, WorkItem
from deployments.leases.ledger import Ledger
from deployments.leases.records import Orders

T = TypeVar("T")

CHUNK_ENDS = (15, 35, 75, 155)  # of the default chunk schedule: codes after which the vocoder can go on
PROMPT = VoicePrompt.of("small", {"speaker": np.zeros(4, np.float32)})
MOST_CODES = 10_000
CODES = np.arange(MOST_CODES, dtype=np.int64)


# -- time --------------------------------------------------------------------------------------------------------


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait: when nothing is ready, its clock jumps to the next timer."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


class _Jump(selectors.DefaultSelector):  # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass]
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen: no timer is set")
        self._loop.advance(max(0.0, timeout))
        return []


def _clock_s() -> float:
    """What a pair of readings of the CPU clock takes, which is not the scheduler's."""
    return statistics.median(-time.thread_time() + time.thread_time() for _ in range(2000))


class Meter:
    """The CPU seconds of the scheduler by part, and its messages. They advance the clock of `loop`.

    message_s: what each message costs its process outside of this code, for instance in Ray.
    """

    def __init__(self, loop: VirtualLoop, message_s: float = 0.0) -> None:
        self.loop, self.message_s = loop, message_s
        self.spent = {"submit": 0.0, "events": 0.0, "orders": 0.0, "deliver": 0.0}
        self.messages = 0
        self._clock_s = _clock_s()

    def message(self) -> None:
        self.messages += 1
        self.loop.advance(self.message_s)

    def add(self, part: str, seconds: float) -> None:
        seconds = max(0.0, seconds - self._clock_s)
        self.spent[part] += seconds
        self.loop.advance(seconds)

    async def stream(self, source: AsyncGenerator[T], first: str, others: str) -> AsyncIterator[T]:
        """The items of `source`. Its code is metered: to its first wait or item as `first`, then as `others`."""
        part = first
        while True:
            try:
                item = await _Metered(anext(source), self, part, others)
            except StopAsyncIteration:
                return
            part = others
            self.message()
            yield item


class _Metered:
    """An awaitable whose own code is metered between its waits."""

    def __init__(self, waited: Awaitable[Any], meter: Meter, first: str, others: str) -> None:
        self._waited, self._meter, self._parts = waited, meter, (first, others)

    def __await__(self) -> Generator[Any, Any, Any]:
        steps, (part, others) = self._waited.__await__(), self._parts
        throw: BaseException | None = None
        while True:
            began = time.thread_time()
            try:
                future = next(steps) if throw is None else steps.throw(throw)  # type: ignore[attr-defined]
            except StopIteration as stop:
                return stop.value
            finally:
                self._meter.add(part, time.thread_time() - began)
            part, throw = others, None
            try:
                yield future
            except BaseException as error:  # a cancellation, which belongs to the awaited code
                throw = error


# -- the device --------------------------------------------------------------------------------------------------


class StepTimes:
    """Seconds of a decode step by its number of rows: interpolated, and extrapolated by the last two points."""

    def __init__(self, batches: Sequence[int], step_s: Sequence[float]) -> None:
        rows = np.arange(1, batches[-1] + 1)
        self._known = [0.0, *np.interp(rows, batches, step_s).tolist()]
        self._slope = (step_s[-1] - step_s[-2]) / (batches[-1] - batches[-2])

    def __call__(self, rows: int) -> float:
        beyond = rows - len(self._known) + 1
        return self._known[rows] if beyond <= 0 else self._known[-1] + beyond * self._slope


def payload(codes: int) -> GptRequest:
    """A request whose sequence has `codes` codes: 0, 1, 2 and so on."""
    segment = Segment("", np.array([0], np.int64), features={"codes": np.array(codes)})
    return GptRequest(segment, PROMPT, Sampling.of(seed=0))


def event_end(sent: int, emit_every: int) -> int:
    """The end of the event that starts after `sent` codes."""
    return min([sent + emit_every, *(end for end in CHUNK_ENDS if end > sent)])


class _Row:
    """An active sequence. offset: the step before its code 0."""

    __slots__ = ("emit_every", "end", "id", "offset", "sent")

    def __init__(self, item: WorkItem, step: int, emit_every: int) -> None:
        self.emit_every = emit_every
        prefix = item.payload.prefix
        self.id, self.sent = item.id, 0 if prefix is None else len(prefix)
        self.end, self.offset = int(item.payload.segment.features["codes"]), step - self.sent

    @property
    def next_end(self) -> int:
        return min(event_end(self.sent, self.emit_every), self.end)


class Replica:
    """A lease of `ledger` and a device behind it. Steps follow each other without a pause while it has rows.

    An order takes effect in the first step that begins after the scheduler gave it.
    """

    def __init__(
        self, name: str, ledger: Ledger, slots: int, step_s: StepTimes, emit_every: int, meter: Meter
    ) -> None:
        self.name, self.slots, self._emit_every = name, slots, emit_every
        self._ledger, self._step_s, self._meter = ledger, step_s, meter
        self._orders: deque[tuple[float, Orders]] = deque()
        self._rows: dict[str, _Row] = {}
        self._due: list[tuple[int, int, _Row]] = []  # heap: step of the row's next event, tie-breaker
        self._ties = itertools.count()
        self._steps = 0
        self._stepping = False

    async def run(self) -> None:
        self._ledger.open_lease(self.name)
        source = self._ledger.orders(self.name, self.slots)
        async for orders in self._meter.stream(source, "orders", "orders"):
            if orders.items or orders.cancelled:
                self._orders.append((self._meter.loop.time(), orders))
                if not self._stepping:
                    self._begin(self._meter.loop.time())

    def _begin(self, at: float) -> None:
        """Begins a step at `at`, which is never later than now."""
        if not self._rows and self._orders:
            at = max(at, self._orders[0][0])
        while self._orders and self._orders[0][0] <= at:
            self._obey(self._orders.popleft()[1])
        self._stepping = bool(self._rows)
        if self._stepping:
            end = at + self._step_s(len(self._rows))
            self._meter.loop.call_at(end, self._end, end)

    def _obey(self, orders: Orders) -> None:
        for item_id in orders.cancelled:
            self._rows.pop(item_id, None)
        for item in orders.items:
            row = self._rows[item.id] = _Row(item, self._steps, self._emit_every)
            self._await(row)
        if len(self._rows) > self.slots:
            raise RuntimeError(f"{len(self._rows)} items for {self.slots} slots")

    def _await(self, row: _Row) -> None:
        heapq.heappush(self._due, (row.offset + row.next_end, next(self._ties), row))

    def _end(self, at: float) -> None:
        self._steps += 1
        events = []
        while self._due and self._due[0][0] <= self._steps:
            row = heapq.heappop(self._due)[2]
            if self._rows.get(row.id) is not row:
                continue  # its slot was taken
            sent, row.sent = row.sent, row.next_end
            done = row.sent == row.end
            events.append(Event(row.id, Run(CODES[sent : row.sent]), done, index=sent))
            if done:
                del self._rows[row.id]
            else:
                self._await(row)
        if events:
            self._meter.message()
            began = time.thread_time()
            self._ledger.deliver(self.name, events)
            self._meter.add("deliver", time.thread_time() - began)
        self._begin(at)
