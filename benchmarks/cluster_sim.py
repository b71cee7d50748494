"""The stage scheduler of a large cluster: its real ledger against simulated replicas, in virtual time on one core.

The replicas take the decode steps that `stage_gpt` has measured. The clock also advances by the CPU time of the
scheduler's code, so a scheduler that cannot keep up delays its replicas as it would in a cluster. Each number of
replicas is saturated, and then gets requests at random times (Poisson) at a share of the ideal throughput. A request
has several segments, of which the first goes ahead; first codes count from the arrival of the request to the first
codes of its first segment. Ray's own cost of a message counts if --message-us gives it: `scheduler_messages` measures
it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import math
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import _common, _plot, _statistics
from benchmarks._simulated_stage import WINDOW, Cluster, Counts, Shape
from benchmarks._simulation import StepTimes, VirtualLoop
from deployments.contract.options import GptOptions
from deployments.leases.ledger import COLLECT_EVERY

QUEUED_PER_SLOT = 10
CLIENTS = 1.5  # at saturation, segments in progress or waiting for each slot
BAR = 5_000  # sequences a second, admitted and finished on one core


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
        "message, µs",
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
            f"{row['message_us']:g}",
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
    parser.add_argument(
        "--message-us", type=_common.numbers_of(float), default=[0.0], help="CPU of a message in Ray (0)"
    )
    emit_every = GptOptions().emit_every
    parser.add_argument(
        "--emit-every", type=int, default=emit_every, help=f"the most codes in an event ({emit_every})"
    )
    parser.add_argument(
        "--steps", type=Path, default=_common.ROOT / "benchmarks/results/stage_gpt.json", help="of stage_gpt"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    console, step_s = Console(width=180), step_times(options.steps)

    result, rows = _common.origin("cluster_sim"), list[dict[str, Any]]()
    for message_us, replicas in itertools.product(options.message_us, options.replicas):
        shape = Shape(replicas, options.slots, step_s, message_us, options.emit_every)
        console.print(f"{replicas} replicas, {message_us:g} µs a message …")
        began = time.perf_counter()
        row = {"saturated": saturated(shape, options), "random": at_random(shape, options)}
        took = {
            "ideal_codes_per_s": round(shape.codes_per_s),
            "took_s": round(time.perf_counter() - began, 1),
        }
        streams = replicas * options.slots
        rows.append({"replicas": replicas, "streams": streams, "message_us": message_us, **row, **took})
    console.print(table(rows, options.load))
    met = {
        f"{message_us:g}": all(
            row["saturated"]["sequences_per_core_s"] >= BAR for row in rows if row["message_us"] == message_us
        )
        for message_us in options.message_us
    }
    said = {True: "met", False: "NOT met"}
    for message_us, reached in met.items():
        console.print(
            f"At least {BAR} sequences/s on one core with {message_us} µs a message: {said[reached]}."
        )
    names = ("slots", "codes", "segments", "emit_every", "load", "warm_up", "seconds", "seed")
    settings = {name: getattr(options, name) for name in names}
    settings["step_ms"] = round(1e3 * step_s(options.slots), 3)
    result |= {"bar": BAR, "met": met, "settings": settings, "rows": rows}
    _common.finish(options.out, result, console)
    plot(options.out, rows, options)


def plot(out: Path, rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    panels = (
        "share of the ideal throughput",
        "scheduler's own code, µs a sequence",
        f"first codes at {options.load:.0%}, s",
    )
    names = [str(number) for number in options.replicas]
    with _plot.panels(out, f"one scheduler, replicas of {options.slots} slots", *panels) as axes:
        share, cost, first = axes
        for message_us in options.message_us:
            those = [row for row in rows if row["message_us"] == message_us]
            label = f"{message_us:g} µs a message"
            shares = [row["saturated"]["share"] for row in those]
            share.plot(options.replicas, shares, marker="o", label=label)
            for which, style in (("p50", "-"), ("p99", "--")):
                times = [row["random"]["first_s"].get(which) for row in those]
                first.plot(options.replicas, times, style, marker="o", label=f"{which}, {label}")
        own = rows[: len(names)]
        bottom = [0.0] * len(names)
        for part in own[0]["saturated"]["us_by_part"]:
            heights = [row["saturated"]["us_by_part"][part] for row in own]
            cost.bar(names, heights, bottom=bottom, label=part)
            bottom = [low + high for low, high in zip(bottom, heights, strict=True)]
        cost.axhline(1e6 / BAR, color="black", linestyle="--", linewidth=1)
        share.set_ylim(0, 1.05)
        first.set_yscale("log")
        for axis in (share, first):
            axis.set_xscale("log", base=2)
            axis.set_xticks(options.replicas, names)
        for axis in axes:
            axis.set_xlabel("replicas")
            axis.legend(fontsize=8)


if __name__ == "__main__":
    main()
