"""One stage of a simulated cluster: a ledger, its replicas, and clients whose requests have several segments."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from benchmarks._simulation import Meter, Replica, StepTimes, VirtualLoop, payload
from deployments.contract.errors import Overloaded
from deployments.contract.options import GptOptions
from deployments.contract.work import WorkItem
from deployments.leases.ledger import Ledger

WINDOW = 3  # segments of a request in progress at once
LATER = 1  # priority of the segments after the first


@dataclass(frozen=True, slots=True)
class Shape:
    replicas: int
    slots: int
    step_s: StepTimes
    message_us: float = 0.0
    emit_every: int = GptOptions().emit_every

    @property
    def codes_per_s(self) -> float:
        """The throughput of full batches without a pause."""
        return self.replicas * self.slots / self.step_s(self.slots)


@dataclass(slots=True)
class Counts:
    codes: int = 0
    sequences: int = 0
    requests: int = 0
    refused: int = 0
    first_s: list[float] = field(default_factory=list)


class Cluster:
    """One stage: a ledger, its replicas and its clients, on the running virtual loop."""

    def __init__(self, shape: Shape, options: argparse.Namespace, loop: VirtualLoop, max_queue: int) -> None:
        self.loop, self.options = loop, options
        self.meter = Meter(loop, shape.message_us / 1e6)
        share = GptOptions().first_segment_share
        self.ledger = Ledger("sim", shape.slots, max_queue, first_share=share, clock=loop.time)
        self.counts = Counts()
        self._rng = random.Random(options.seed)
        self._ids = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        for number in range(shape.replicas):
            name = f"replica {number}"
            replica = Replica(name, self.ledger, shape.slots, shape.step_s, shape.emit_every, self.meter)
            self.start(replica.run())

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.call_soon(self._fail, error)

    def _fail(self, error: BaseException) -> None:
        raise SystemExit(f"the simulation failed: {error!r}")

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def client(self) -> None:
        """Sends its next request when one is complete. The clients begin one after the other, not in a wave."""
        await asyncio.sleep(self._rng.uniform(0.0, self.options.warm_up / 2))
        while True:
            await self.request()

    async def arrivals(self, rate: float) -> None:
        """Requests at random times, `rate` per second on average."""
        due = self.loop.time()
        while True:
            due += self._rng.expovariate(rate)
            await asyncio.sleep(max(0.0, due - self.loop.time()))
            self.start(self.request(due))

    async def request(self, due: float | None = None) -> None:
        began = self.loop.time() if due is None else due
        low, high = round(0.5 * self.options.codes), round(1.5 * self.options.codes)
        lengths = deque(self._rng.randint(low, high) for _ in range(self.options.segments))
        later: list[asyncio.Task[None]] = []

        def first_codes() -> None:
            self.counts.first_s.append(self.loop.time() - began)
            later.extend(self.loop.create_task(self._later(lengths)) for _ in range(WINDOW - 1))

        try:
            if await self._segment(lengths.popleft(), first=first_codes):
                await self._later(lengths)
                await asyncio.gather(*later)
                self.counts.requests += 1
        finally:
            for task in later:
                task.cancel()

    async def _later(self, lengths: deque[int]) -> None:
        while lengths:
            await self._segment(lengths.popleft())

    async def _segment(self, codes: int, first: Any = None) -> bool:
        """Whether it was accepted. Every code must arrive exactly once."""
        item = WorkItem(f"s{next(self._ids)}", payload(codes), 0 if first else LATER)
        self.meter.message()
        arrived = 0
        async for event in self.meter.stream(self.ledger.submit(item, first is None), "submit", "events"):
            if isinstance(event.error, Overloaded):
                self.counts.refused += 1
                return False
            if event.error is not None:
                raise event.error
            if event.value is not None:
                if event.index != arrived or event.value.codes[0] != arrived:
                    raise RuntimeError(f"{item.id}: code {event.index} after {arrived} codes")
                if not arrived and first is not None:
                    first()
                arrived += len(event.value)
                self.counts.codes += len(event.value)
        if arrived != codes:
            raise RuntimeError(f"{item.id}: {arrived} of {codes} codes arrived")
        self.counts.sequences += 1
        return True
