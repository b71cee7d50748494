"""Replicas follow the load: a Ray cluster of three nodes on this machine, and requests at random times over HTTP.

The load rises tenfold, falls, and ends, until no Gpt and no Vocoder is left; then one more request wakes them. Every
Gpt has one slot, so that a few requests fill four replicas: a machine with two cores computes no faster with four. What
is shown is the signal and what follows from it, not throughput. A response other than 200 counts as failed, a 429 too.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import _cluster, _common, _load, _plot, _signals, _statistics

PLOT = Path("docs/images/autoscaling.png")
MODEL, STAGES = "chorale-small", ("Gpt", "Vocoder")
DELAYS = {
    "look_back_period_s": 4.0,
    "metrics_interval_s": 1.0,
    "upscale_delay_s": 2.0,
    "downscale_delay_s": 20.0,
}
TO_ZERO = {"min_replicas": 0, "downscale_to_zero_delay_s": 15.0, **DELAYS}
ARGS: dict[str, Any] = {
    "family": {"name": "small"},
    "gpt": {
        "slots": 1,
        "max_queue": 100,
        "lease_s": 2.0,
        "max_replicas_per_node": 2,
        "autoscaling": {"max_replicas": 4, "target_utilization": 0.5, **TO_ZERO},
    },
    "vocoder": {"lease_s": 2.0, "autoscaling": {"max_replicas": 2, **TO_ZERO}},
}
SAMPLE_S = 0.5
ZERO_S = 60.0  # for the last replica to end
MEANS = (2, 4, 6, 8, 12, 24, 60)  # requests in flight, for the comparison of signals


@dataclass(frozen=True, slots=True)
class Phase:
    """rate: requests per second."""

    name: str
    rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Sample:
    """at: time.perf_counter. running, starting: replicas by stage."""

    at: float
    running: dict[str, int]
    starting: dict[str, int]
    demand: float


@dataclass(slots=True)
class Record:
    """Of a whole run. ends: when each phase ended; nodes: those that held a Gpt, at the most."""

    began: float
    answers: list[_load.Answer] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    nodes: int = 0

    def between(self, start: float, end: float) -> list[Sample]:
        return [sample for sample in self.samples if start <= sample.at < end]


def arrivals(phases: Sequence[Phase], seed: int) -> Iterator[float]:
    """Seconds since the start of every request, at random times (Poisson)."""
    rng, start = random.Random(seed), 0.0
    for phase in phases:
        at, end = start, start + phase.seconds
        while (at := at + rng.expovariate(phase.rate)) < end:
            yield at
        start = end


@contextmanager
def watched(record: Record) -> Iterator[None]:
    """Samples the replicas meanwhile, on a thread of its own."""
    from ray import serve

    scheduler = serve.get_deployment_handle("GptScheduler", MODEL)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE_S):
            stages = serve.status().applications[MODEL].deployments
            states: dict[str, Any] = {name: stages[name].replica_states for name in STAGES}
            running = {name: state.get("RUNNING", 0) for name, state in states.items()}
            starting = {name: state.get("STARTING", 0) for name, state in states.items()}
            if running["Gpt"] > max((sample.running["Gpt"] for sample in record.samples), default=0):
                record.nodes = max(record.nodes, nodes_with_gpt())
            status = scheduler.status.remote().result(timeout_s=30)
            record.samples.append(Sample(time.perf_counter(), running, starting, status["demand"]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def nodes_with_gpt() -> int:
    """The number of nodes on which a Gpt runs."""
    from ray.util.state import list_actors

    found: Any = list_actors(filters=[("state", "=", "ALIVE")], detail=True)
    return len({actor.node_id for actor in found if actor.class_name.endswith(":Gpt")})


async def until_gone(record: Record) -> None:
    """Raises SystemExit if replicas are left after ZERO_S."""
    end = time.perf_counter() + ZERO_S
    while any((last := record.samples[-1]).running.values()) or any(last.starting.values()):
        if time.perf_counter() > end:
            raise SystemExit(f"not scaled to zero: {last.running}")
        await asyncio.sleep(SAMPLE_S)


async def run(url: str, voice: str, options: argparse.Namespace, console: Console) -> Record:
    texts = _common.sentences(40)
    phases = [
        Phase("low", options.rate, options.low_s),
        Phase("high", 10 * options.rate, options.high_s),
        Phase("low again", options.rate, options.after_s),
    ]
    async with _load.client(url) as http:

        def say(number: int, asked: float) -> asyncio.Task[_load.Answer]:
            what = _load.Say(texts[number % len(texts)], voice, seed=number)
            return asyncio.create_task(_load.ask(http, what, asked=asked, patient=False, keep=False))

        console.print("a first request, without replicas …")
        await say(0, time.perf_counter())
        record = Record(time.perf_counter())
        with watched(record):
            tasks = []
            for number, at in enumerate(arrivals(phases, options.seed)):
                await asyncio.sleep(record.began + at - time.perf_counter())
                tasks.append(say(number, record.began + at))
            ends = [sum(phase.seconds for phase in phases[: n + 1]) for n in range(len(phases))]
            record.ends = [record.began + end for end in ends]
            await asyncio.sleep(record.ends[-1] - time.perf_counter())
            record.answers = list(await asyncio.gather(*tasks))
            console.print(f"{len(tasks)} responses; waiting for the last replicas to end …")
            await until_gone(record)
            record.ends.append(time.perf_counter())
            console.print("and one more request …")
            record.answers.append(await say(len(tasks), time.perf_counter()))
            record.ends.append(time.perf_counter())
            await asyncio.sleep(3)
    return record


def figures(record: Record, options: argparse.Namespace) -> dict[str, Any]:
    """The results by phase, and of the way to zero and back."""
    names, rates = ("low", "high", "low again"), (options.rate, 10 * options.rate, options.rate)
    starts = [record.began, *record.ends]
    phases = []
    for name, rate, (start, end) in zip(names, rates, pairwise(starts[:4]), strict=True):
        answers = [answer for answer in record.answers if start <= answer.asked < end]
        samples = record.between(start, end)
        phases.append(
            {
                "phase": name,
                "requests_per_s": rate,
                "requests": len(answers),
                "ttfa_s": _statistics.percentiles([answer.first_s for answer in answers if answer.good]),
                "demand_mean": round(sum(s.demand for s in samples) / len(samples), 2),
                **{f"{stage.lower()}_most": max(s.running[stage] for s in samples) for stage in STAGES},
                **{f"{stage.lower()}_at_end": samples[-1].running[stage] for stage in STAGES},
            }
        )
    last, woken = record.answers[-1], record.between(starts[4], record.samples[-1].at + 1)
    begun = {
        stage: next((round(s.at - last.asked, 1) for s in woken if s.running[stage]), None)
        for stage in STAGES
    }
    high = record.between(starts[1], starts[2])
    failed = [f"{answer.status} {answer.code}" for answer in record.answers if not answer.good]
    return {
        "phases": phases,
        "seconds_to": {
            str(n): next((round(s.at - starts[1], 1) for s in high if s.running["Gpt"] >= n), None)
            for n in (2, 3, 4)
        },
        "gpt_nodes_at_peak": record.nodes,
        "to_zero_s": round(record.ends[3] - record.ends[2], 1),
        "from_zero": {
            "status": last.status,
            "ttfa_s": round(last.first_s, 2) if last.good else None,
            "running_after_s": begun,
        },
        "requests": len(record.answers),
        "failed": failed,
    }


def plot(record: Record, options: argparse.Namespace) -> None:
    """Load, replicas and first sounds over time."""
    title = "three nodes, one slot in every Gpt"
    starts = [0.0, *(end - record.began for end in record.ends[:3])]
    with _plot.panels(options.plot, title, "load", "replicas", "time to first audio, s") as (
        load,
        replicas,
        ttfa,
    ):
        rates = [options.rate, 10 * options.rate, options.rate]
        load.stairs(rates, starts, label="requests per second", baseline=None)
        times = [sample.at - record.began for sample in record.samples]
        load.plot(times, [sample.demand for sample in record.samples], label="demand, in replicas")
        for stage in STAGES:
            replicas.step(times, [s.running[stage] for s in record.samples], where="post", label=stage)
        asked = [(a.asked - record.began, a.first_s) for a in record.answers if a.good]
        ttfa.plot(*zip(*asked, strict=True), ".", label="request")
        ttfa.set_yscale("log")
        for axis in (load, replicas, ttfa):
            axis.set_xlabel("seconds")
            axis.axvline(
                record.ends[3] - record.began, color="grey", linestyle=":", label="the waking request"
            )
            axis.legend(fontsize=7)


def main() -> None:
    parser = _common.arguments("autoscaling", __doc__)
    parser.add_argument("--rate", type=float, default=0.25, help="requests per second of the low load (0.25)")
    parser.add_argument("--low-s", type=float, default=25, help="seconds of the low load (25)")
    parser.add_argument("--high-s", type=float, default=55, help="seconds of the tenfold load (55)")
    parser.add_argument("--after-s", type=float, default=55, help="seconds of the low load afterwards (55)")
    parser.add_argument("--plot", type=Path, default=PLOT, help=str(PLOT))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    console = Console(width=160)
    result = _common.origin("autoscaling")
    began = time.perf_counter()
    with _cluster.running(ARGS) as cluster:
        started_s = time.perf_counter() - began
        record = asyncio.run(run(cluster.service.url, cluster.service.voices()[0], options, console))
    found = figures(record, options)
    console.print(table(found["phases"]))
    console.print({key: value for key, value in found.items() if key != "phases"})
    result |= {"args": ARGS, "started_s": round(started_s, 1), **found}
    result["signals"] = _signals.compared(MEANS, options.seed)
    _common.finish(options.out, result, console)
    plot(record, options)
    if found["failed"]:
        raise SystemExit(f"{len(found['failed'])} requests failed")


def table(phases: Sequence[dict[str, Any]]) -> Table:
    shown = Table("phase", "requests/s", "requests", "TTFA p50 / p95, s", "demand", "Gpt", "Vocoder")
    for row in phases:
        ttfa = row["ttfa_s"]
        times = f"{ttfa['p50']:.2f} / {ttfa['p95']:.2f}"
        counts = [
            f"{row[f'{stage}_most']}, at the end {row[f'{stage}_at_end']}" for stage in ("gpt", "vocoder")
        ]
        shown.add_row(
            row["phase"],
            f"{row['requests_per_s']:g}",
            str(row["requests"]),
            times,
            f"{row['demand_mean']}",
            *counts,
        )
    return shown


if __name__ == "__main__":
    main()
