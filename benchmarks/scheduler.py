"""The overhead of the stage scheduler: the share of a simulated device's throughput that arrives, on a real Ray.

The device sleeps 4 ms + 0.2 ms per row in each step, and a row yields one code; a full batch is the ideal. Three
designs alternate: leases (ours), one query at a time in replicas with max_ongoing_requests=1, and @serve.batch in front
of such replicas. Each is saturated, and then gets requests at random times (Poisson) at a share of the ideal
throughput. That is more than the other two can sustain: their queues grow as long as requests arrive. They get fewer
requests, so that the runs take about the same time, and so their latencies are lower bounds. There is no speech and no
word error rate; every code is compared with its expected value.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from ray import serve
from rich.console import Console
from rich.table import Table

from benchmarks import _common, _plot, _statistics
from benchmarks._baselines import Coordinator, OneAtATime, WholeBatches
from deployments import families
from deployments.scheduler import StageScheduler
from serve_app.app import LEASES
from serve_app.backends.graph import RayBackend
from serve_app.runtime import application as runtime
from tests.serve.sim_stage import ROW_S, STEP_S, SimGpt, expected, request

OURS, ALONE, BATCH = "leases", "one query at a time", "@serve.batch in front"
CLIENTS = 4  # at saturation, for each request that a design can process at once
# the share of --requests for each design, so that the runs take about the same time
REQUESTS = {OURS: 1.0, ALONE: 1 / 8, BATCH: 1 / 2}
BARS = {"share": 0.9, "p99_s": 1.0}

Speak = Callable[[int, int], AsyncIterator[np.ndarray]]  # (seed, codes) -> runs of codes


# -- the designs -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    replicas: int
    slots: int

    @property
    def codes_per_s(self) -> float:
        """The throughput of all replicas with full batches and no overhead."""
        return self.replicas * self.slots / (STEP_S + ROW_S * self.slots)


def _replicas(kind: type, shape: Shape, router: dict[str, float] | None = None) -> Any:
    options: dict[str, Any] = {"request_router_config": router} if router else {}
    return serve.deployment(
        kind,
        name=kind.__name__,
        num_replicas=shape.replicas,
        max_ongoing_requests=1,
        ray_actor_options={"num_cpus": 0.1},
        **options,
    )


def _front(kind: type) -> Any:
    return serve.deployment(
        kind, name=kind.__name__, max_ongoing_requests=10_000, ray_actor_options={"num_cpus": 0.1}
    )


def deploy(design: str, shape: Shape, scheduler: type[StageScheduler] = StageScheduler) -> Speak:
    """Replaces the previous design, and returns the function that calls it."""
    serve.delete("bench")
    if design == OURS:
        stage = _replicas(SimGpt, shape, LEASES).bind(shape.slots, STEP_S)
        options = {"min_replicas": shape.replicas, "max_replicas": shape.replicas, "max_queue": 100_000}
        front = _front(scheduler).bind(stage, slots=shape.slots, **options)
        handle = serve.run(front, name="bench", route_prefix=None)
        backend = RayBackend(families.load("small").spec, handle, handle, handle, handle)

        async def ours(seed: int, codes: int) -> AsyncIterator[np.ndarray]:
            runs = backend.generate(request(seed, codes), id=f"r{seed}", priority=0, admitted=False)
            async with aclosing(runs):
                async for run in runs:
                    yield run.codes

        return ours
    if design == ALONE:
        handle = serve.run(_replicas(OneAtATime, shape).bind(), name="bench", route_prefix=None)
        streaming = handle.options(method_name="speak", stream=True, _by_reference=False)

        async def alone(seed: int, codes: int) -> AsyncIterator[np.ndarray]:
            async for run in cast("AsyncIterator[np.ndarray]", streaming.remote(request(seed, codes))):
                yield run

        return alone
    stage = _replicas(WholeBatches, shape).bind(shape.slots)
    handle = serve.run(
        _front(Coordinator).bind(stage, shape.replicas, shape.slots), name="bench", route_prefix=None
    )
    unary = handle.options(method_name="speak", _by_reference=False)

    async def batched(seed: int, codes: int) -> AsyncIterator[np.ndarray]:
        yield await unary.remote(request(seed, codes))

    return batched


# -- the measurement -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Heard:
    """One request: when it was due, and the times and counts of the codes that arrived."""

    due: float
    codes: int
    arrivals: list[tuple[float, int]] = field(default_factory=list)

    async def listen(self, speak: Speak, seed: int) -> None:
        runs = []
        async for run in speak(seed, self.codes):
            runs.append(run)
            self.arrivals.append((time.perf_counter(), len(run)))
        if not np.array_equal(np.concatenate(runs), expected(seed, self.codes)):
            raise SystemExit(f"request {seed}: wrong codes")

    @property
    def first_s(self) -> float:
        return self.arrivals[0][0] - self.due

    @property
    def total_s(self) -> float:
        return self.arrivals[-1][0] - self.due


async def saturated(speak: Speak, lengths: Sequence[int], clients: int) -> float:
    """Codes per second while all `clients` still have requests to send."""
    waiting = list(enumerate(lengths))
    heard: list[Heard] = []
    dry_at = 0.0

    async def client() -> None:
        nonlocal dry_at
        while waiting:
            seed, codes = waiting.pop()
            heard.append(one := Heard(time.perf_counter(), codes))
            await one.listen(speak, seed)
        dry_at = dry_at or time.perf_counter()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    arrived = sum(codes for one in heard for when, codes in one.arrivals if when <= dry_at)
    return arrived / (dry_at - began)


async def at_random(speak: Speak, lengths: Sequence[int], rate: float, seed: int) -> list[Heard]:
    """Requests at random times, `rate` per second on average."""
    rng, due, tasks, heard = random.Random(seed), time.perf_counter(), [], list[Heard]()
    for index, codes in enumerate(lengths):
        due += rng.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        heard.append(one := Heard(due, codes))
        tasks.append(asyncio.create_task(one.listen(speak, index)))
    await asyncio.gather(*tasks)
    return heard


def saturating(design: str, shape: Shape) -> int:
    """The number of clients that saturates the design."""
    return CLIENTS * shape.replicas * (1 if design == ALONE else shape.slots)


async def measure(speak: Speak, design: str, shape: Shape, options: argparse.Namespace) -> dict[str, Any]:
    clients = saturating(design, shape)
    requests = max(2 * clients, round(REQUESTS[design] * options.requests))
    rng = random.Random(options.seed)
    low, high = round(0.5 * options.codes), round(1.5 * options.codes)
    lengths = [rng.randint(low, high) for _ in range(requests)]
    await saturated(
        speak, lengths[: 2 * shape.replicas], 2 * shape.replicas
    )  # the first calls look for their replicas
    shares = [await saturated(speak, lengths, clients) / shape.codes_per_s for _ in range(options.repeat)]
    rate = options.load * shape.codes_per_s / options.codes
    heard = await at_random(speak, lengths, rate, options.seed)
    return {
        "requests": requests,
        "share": round(float(np.median(shares)), 4),
        "shares": [round(share, 4) for share in shares],
        "codes_per_s": round(float(np.median(shares)) * shape.codes_per_s, 1),
        "rate": round(rate, 2),
        "latency_s": _statistics.percentiles([one.total_s for one in heard]),
        "first_s": _statistics.percentiles([one.first_s for one in heard]),
    }


def table(rows: dict[str, dict[str, Any]], load: float) -> Table:
    shown = Table(box=None, pad_edge=False)
    shown.add_column("")
    for name in ("requests", "share of the ideal", "codes/s", "of runs"):
        shown.add_column(name, justify="right")
    for name in ("latency p50 / p99, ms", "first codes p50 / p99, ms"):
        shown.add_column(f"at {load:.0%} load: {name}", justify="right")
    for name, row in rows.items():
        times = [[f"{1000 * row[key][p]:.0f}" for p in ("p50", "p99")] for key in ("latency_s", "first_s")]
        spread = f"{min(row['shares']):.1%} to {max(row['shares']):.1%}"
        shown.add_row(
            name,
            str(row["requests"]),
            f"{row['share']:.1%}",
            f"{row['codes_per_s']:.0f}",
            spread,
            *(" / ".join(two) for two in times),
        )
    return shown


def main() -> None:
    parser = _common.arguments("scheduler", __doc__)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--slots", type=int, default=8, help="of a replica (8)")
    parser.add_argument("--codes", type=int, default=60, help="of a request, on average (60)")
    parser.add_argument(
        "--requests", type=int, default=320, help="per measurement; fewer for the slower designs (320)"
    )
    parser.add_argument(
        "--repeat", type=int, default=3, help="measurements at saturation; the median counts (3)"
    )
    parser.add_argument("--load", type=float, default=0.4, help="share of the ideal throughput (0.4)")
    parser.add_argument("--design", nargs="+", choices=(OURS, ALONE, BATCH), default=[OURS, ALONE, BATCH])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    console, shape = Console(width=160), Shape(options.replicas, options.slots)
    if options.requests < (least := 2 * saturating(OURS, shape)):
        parser.error(f"--requests must be at least {least}, two for each client that saturates the slots")

    result = _common.origin("scheduler")
    rows: dict[str, dict[str, Any]] = {}
    runtime.start_ray(num_cpus=8, dashboard=False)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)  # routers log every busy replica
    try:
        serve.start(proxy_location="Disabled", logging_config={"log_level": "ERROR"})
        for design in options.design:
            console.print(f"{design} …")
            rows[design] = asyncio.run(measure(deploy(design, shape), design, shape, options))
    finally:
        runtime.stop()
    ideal = {
        "codes_per_s": round(shape.codes_per_s, 1),
        "requests_per_s": round(shape.codes_per_s / options.codes, 2),
    }
    console.print(table(rows, options.load))
    console.print(f"Ideal: {ideal['codes_per_s']:.0f} codes/s, {ideal['requests_per_s']:.1f} requests/s.")
    if ours := rows.get(OURS):
        met = {"share": ours["share"] >= BARS["share"], "p99_s": ours["latency_s"]["p99"] < BARS["p99_s"]}
        said = {True: "met", False: "NOT met"}
        console.print(
            f"At least {BARS['share']:.0%} of the ideal: {said[met['share']]}. "
            f"p99 under {BARS['p99_s']:g} s at {options.load:.0%}: {said[met['p99_s']]}."
        )
        result |= {"bars": BARS, "met": met}
    settings = {name: getattr(options, name) for name in ("replicas", "slots", "codes", "requests", "load")}
    _common.finish(options.out, result | {"settings": settings, "ideal": ideal, "designs": rows}, console)
    plot(options.out, rows, options)


def plot(out: Path, rows: dict[str, dict[str, Any]], options: argparse.Namespace) -> None:
    title = f"simulated device, {options.replicas} replicas x {options.slots} slots"
    panels = ("share of the ideal throughput", f"latency at {options.load:.0%} load, s")
    with _plot.panels(out, title, *panels) as (share, latency):
        names = [name.replace(" ", "\n", 1) for name in rows]
        share.bar(names, [row["share"] for row in rows.values()])
        share.axhline(BARS["share"], color="black", linestyle="--", linewidth=1)
        at = np.arange(len(names))
        for shift, key, which in ((-0.2, "p50", "p50"), (0.2, "p99", "p99")):
            latency.bar(at + shift, [row["latency_s"][key] for row in rows.values()], 0.4, label=which)
        latency.set_xticks(at, names)
        latency.set_yscale("log")
        latency.legend()


if __name__ == "__main__":
    main()
