"""The stage scheduler of a large cluster: its real ledger against simulated replicas, in virtual time on one core.

The replicas take the decode steps that `stage_gpt` has measured. The clock also advances by the CPU time of the
scheduler's code, so a scheduler that cannot keep up delays its replicas as it would in a cluster. Each number of
replicas is saturated, and then gets requests at random times (Poisson) at a share of the ideal throughput. A request
has several segments, of which the first goes ahead; first codes count from the arrival of the request to the first
codes of its first segment. Ray's own cost of a message is not included unless --message-us gives it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import math
import random
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import _common, _plot, _statistics
from benchmarks._simulation import Meter, Replica, StepTimes, VirtualLoop, payload
from deployments.contract.errors import Overloaded
from deployments.contract.options import GptOptions
from deployments.contract.work import WorkItem
from deployments.leases.ledger import COLLECT_EVERY, Ledger

WINDOW = 3  # segments of a request in progress at once
QUEUED_PER_SLOT = 10
CLIENTS = 1.5  # at saturation, segments in progress or waiting for each slot
LATER = 1  # priority of the segments after the first
BAR = 5_000  # sequences a second, admitted and finished on one core


@dataclass(frozen=True, slots=True)
class Shape:
    replicas: int
    slots: int
    step_s: StepTimes

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
        self.meter = Meter(loop, options.message_us / 1e6)
        share = GptOptions().first_segment_share
        self.ledger = Ledger("sim", shape.slots, max_queue, first_share=share, clock=loop.time)
        self.counts = Counts()
        self._rng = random.Random(options.seed)
        self._ids = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        for number in range(shape.replicas):
            name = f"replica {number}"
            self.start(Replica(name, self.ledger, shape.slots, shape.step_s, self.meter).run())

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


async def _measured(cluster: Cluster, shape: Shape, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of `options.seconds`, after `options.warm_up`."""
    loop = cluster.loop
    await asyncio.sleep(options.warm_up)
    cluster.counts, cluster.meter.messages = Counts(), 0
    cluster.meter.spent = dict.fromkeys(cluster.meter.spent, 0.0)
    interrupted = cluster.ledger.counts["interrupted"]
    began, cpu = loop.time(), time.thread_time()
    await asyncio.sleep(options.seconds)
    took, cpu = loop.time() - began, time.thread_time() - cpu
    counts, spent = cluster.counts, cluster.meter.spent
    busy, sequences = sum(spent.values()), counts.sequences
    charged = busy + cluster.meter.messages * cluster.meter.message_s
    return {
        "share": round(counts.codes / took / shape.codes_per_s, 4),
        "sequences": sequences,
        "sequences_per_s": round(sequences / took, 1),
        "in_flight": cluster.ledger.in_flight,
        "refused": counts.refused,
        "interrupted": cluster.ledger.counts["interrupted"] - interrupted,
        "first_s": _statistics.percentiles(counts.first_s) if counts.first_s else {},
        "scheduler_busy": round(charged / took, 4),
        "messages_per_sequence": round(cluster.meter.messages / max(1, sequences), 2),
        "us_per_sequence": round(1e6 * busy / max(1, sequences), 1),
        "us_by_part": {part: round(1e6 * s / max(1, sequences), 1) for part, s in spent.items()},
        "us_with_simulation": round(1e6 * cpu / max(1, sequences), 1),
        "sequences_per_core_s": round(sequences / charged) if charged else 0,
    }


def saturated(shape: Shape, options: argparse.Namespace) -> dict[str, Any]:
    """As many clients as keep every slot busy, with some waiting."""

    async def run(loop: VirtualLoop) -> dict[str, Any]:
        clients = math.ceil(CLIENTS * shape.replicas * shape.slots / min(WINDOW, options.segments))
        cluster = Cluster(shape, options, loop, max_queue=10 * clients)
        for _ in range(clients):
            cluster.start(cluster.client())
        row = await _measured(cluster, shape, options)
        await cluster.stop()
        return {"clients": clients, **row}

    return _in_virtual_time(run)


def at_random(shape: Shape, options: argparse.Namespace) -> dict[str, Any]:
    async def run(loop: VirtualLoop) -> dict[str, Any]:
        cluster = Cluster(shape, options, loop, QUEUED_PER_SLOT * shape.slots * shape.replicas)
        rate = options.load * shape.codes_per_s / (options.codes * options.segments)
        cluster.start(cluster.arrivals(rate))
        row = await _measured(cluster, shape, options)
        await cluster.stop()
        return {"requests_per_s": round(rate, 2), **row}

    return _in_virtual_time(run)


def _in_virtual_time(run: Any) -> dict[str, Any]:
    gc.set_threshold(COLLECT_EVERY)  # as in the scheduler's process
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(run(loop))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def step_times(file: Path) -> StepTimes:
    """The steps of the served way in the results of `stage_gpt`."""
    rows = [row for row in json.loads(file.read_text("utf-8"))["rows"] if row["way"] == "served"]
    return StepTimes([row["batch"] for row in rows], [row["step_ms"] / 1e3 for row in rows])


def table(rows: list[dict[str, Any]], load: float) -> Table:
    shown = Table(box=None, pad_edge=False)
    for name in (
        "replicas",
        "streams",
        "of the ideal",
        "sequences/s",
        "µs/sequence",
        "sequences/s/core",
        "busy",
    ):
        shown.add_column(name, justify="right")
    for name in ("first codes p50 / p99, ms", "busy", "refused"):
        shown.add_column(f"{load:.0%} load: {name}", justify="right")
    for row in rows:
        full, some = row["saturated"], row["random"]
        first = [f"{1000 * some['first_s'][p]:.0f}" if some["first_s"] else "-" for p in ("p50", "p99")]
        shown.add_row(
            str(row["replicas"]),
            str(row["streams"]),
            f"{full['share']:.1%}",
            f"{full['sequences_per_s']:.0f}",
            f"{full['us_per_sequence']:.0f}",
            f"{full['sequences_per_core_s']}",
            f"{full['scheduler_busy']:.0%}",
            " / ".join(first),
            f"{some['scheduler_busy']:.0%}",
            str(some["refused"]),
        )
    return shown


def main() -> None:
    parser = _common.arguments("cluster_sim", __doc__)
    parser.add_argument(
        "--replicas", type=_common.numbers_of(int), default=[1, 4, 16, 64, 256], help="1,4,16,64,256"
    )
    parser.add_argument("--slots", type=int, default=40, help="of a replica (40)")
    parser.add_argument("--codes", type=int, default=138, help="of a segment, on average (138)")
    parser.add_argument("--segments", type=int, default=4, help="of a request (4)")
    parser.add_argument("--load", type=float, default=0.7, help="share of the ideal throughput (0.7)")
    parser.add_argument("--warm-up", type=float, default=5.0, help="virtual seconds that do not count (5)")
    parser.add_argument("--seconds", type=float, default=10.0, help="virtual seconds that count (10)")
    parser.add_argument("--message-us", type=float, default=0.0, help="CPU of a message in Ray (0)")
    parser.add_argument(
        "--steps", type=Path, default=_common.ROOT / "benchmarks/results/stage_gpt.json", help="of stage_gpt"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    console, step_s = Console(width=180), step_times(options.steps)

    result, rows = _common.origin("cluster_sim"), list[dict[str, Any]]()
    for replicas in options.replicas:
        shape = Shape(replicas, options.slots, step_s)
        console.print(f"{replicas} replicas …")
        began = time.perf_counter()
        row = {"saturated": saturated(shape, options), "random": at_random(shape, options)}
        took = {
            "ideal_codes_per_s": round(shape.codes_per_s),
            "took_s": round(time.perf_counter() - began, 1),
        }
        rows.append({"replicas": replicas, "streams": replicas * options.slots, **row, **took})
    console.print(table(rows, options.load))
    rates = [row["saturated"]["sequences_per_core_s"] for row in rows]
    said = {True: "met", False: "NOT met"}
    console.print(
        f"At least {BAR} sequences a second on one core, for every number: {said[min(rates) >= BAR]}."
    )
    names = ("slots", "codes", "segments", "load", "warm_up", "seconds", "message_us", "seed")
    settings = {name: getattr(options, name) for name in names}
    settings["step_ms"] = round(1e3 * step_s(options.slots), 3)
    result |= {"bar": BAR, "met": min(rates) >= BAR, "settings": settings, "rows": rows}
    _common.finish(options.out, result, console)
    plot(options.out, rows, options)


def plot(out: Path, rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    panels = (
        "share of the ideal throughput",
        "scheduler, µs a sequence",
        f"first codes at {options.load:.0%}, s",
    )
    replicas = [row["replicas"] for row in rows]
    with _plot.panels(out, f"one scheduler, replicas of {options.slots} slots", *panels) as axes:
        share, cost, first = axes
        share.plot(replicas, [row["saturated"]["share"] for row in rows], marker="o")
        share.set_ylim(0, 1.05)
        bottom = [0.0] * len(rows)
        names = [str(number) for number in replicas]
        for part in rows[0]["saturated"]["us_by_part"]:
            heights = [row["saturated"]["us_by_part"][part] for row in rows]
            cost.bar(names, heights, bottom=bottom, label=part)
            bottom = [low + high for low, high in zip(bottom, heights, strict=True)]
        cost.axhline(1e6 / BAR, color="black", linestyle="--", linewidth=1)
        cost.legend(fontsize=8)
        for which in ("p50", "p99"):
            first.plot(
                replicas, [row["random"]["first_s"].get(which) for row in rows], marker="o", label=which
            )
        first.set_yscale("log")
        first.legend()
        for axis in (share, first):
            axis.set_xscale("log", base=2)
            axis.set_xticks(replicas, names)
        for axis in axes:
            axis.set_xlabel("replicas")


if __name__ == "__main__":
    main()
