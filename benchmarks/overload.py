"""Overload over HTTP: several times as many requests as the service can answer, for a minute, and what follows.

Capacity is measured first: with one client for each GPT slot, which asks again when its response is complete, all slots
are busy and none waits. Then requests are due at random times (Poisson), whatever the service does, in three phases
without a pause: --below times the capacity, --factor times the capacity, and --below times again. Nobody retries, and
every time counts from the moment at which a request was due, so that a late client counts against the service.

`overload` in the results has, by percentile, the TTFA of the requests that were accepted during the overload, divided
by the TTFA at capacity and by that of the first phase; the share of 429 that had arrived completely within 100 ms; by
how much memory grew (all processes, proportional set size); and the phase after it without its first --settle-s.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import _common, _judge, _load, _memory, _plot, _service, _statistics
from benchmarks._memory import MIB

SAMPLE_S = 5.0  # between two samples of the memory, which take a fifth of a second of processor time
PROMPT_S = 0.1  # a 429 should arrive within this time


@dataclass(frozen=True, slots=True)
class Phase:
    """Requests that were due from `began` to `ended`, at `rate` per second. memory: bytes (PSS) of each sample."""

    name: str
    rate: float
    began: float
    ended: float
    answers: list[_load.Answer]
    memory: list[int]
    client_cpu_share: float

    @property
    def accepted(self) -> list[_load.Answer]:
        return [answer for answer in self.answers if answer.good]

    @property
    def refused(self) -> list[_load.Answer]:
        return [answer for answer in self.answers if answer.refused_at is not None]

    def later(self, seconds: float) -> Phase:
        """Without the requests of the first seconds."""
        since = self.began + seconds
        answers = [answer for answer in self.answers if answer.asked >= since]
        return Phase(self.name, self.rate, since, self.ended, answers, self.memory, self.client_cpu_share)

    def figures(self) -> dict[str, Any]:
        other = [a for a in self.answers if not a.good and a.refused_at is None]
        waits = [a.refused_at - a.asked for a in self.refused if a.refused_at is not None]
        seconds = self.ended - self.began
        return {
            "phase": self.name,
            "rate": round(self.rate, 3),
            "seconds": round(seconds, 1),
            "requests": len(self.answers),
            "accepted": len(self.accepted),
            "accepted_per_s": round(len(self.accepted) / seconds, 3),
            "refused": len(self.refused),
            "errors": dict(Counter(f"{a.status} {a.code}" for a in other)),
            "ttfa_s": ttfa_of(self.answers),
            "refusal_s": _statistics.percentiles(waits) if waits else None,
            "refused_late": sum(wait > PROMPT_S for wait in waits),
            "without_retry_after": sum(not a.retry_after for a in self.refused),
            "memory_mib": {
                "first": _mib(self.memory[:1]),
                "most": _mib(self.memory),
                "last": _mib(self.memory[-1:]),
            },
            "client_cpu_share": round(self.client_cpu_share, 3),
        }


def ttfa_of(answers: Sequence[_load.Answer]) -> dict[str, float]:
    return _statistics.percentiles([answer.first_s for answer in answers if answer.good])


def _mib(sizes: Sequence[int]) -> float | None:
    return round(max(sizes) / MIB, 1) if sizes else None


def endless(voices: Sequence[str], seed: int) -> Iterator[_load.Say]:
    """Test sentences in random order, each request with a seed of its own."""
    rng, texts = random.Random(seed), _common.sentences(40)
    for number in itertools.count():
        yield _load.Say(rng.choice(texts), rng.choice(voices), seed=number)


class Run:
    """One service through all phases."""

    def __init__(self, service: _service.Service, voices: Sequence[str], seed: int) -> None:
        self.url = service.url
        self._sayings, self._rng = endless(voices, seed), random.Random(seed)
        self._watch, self._samples = _memory.Watch(service), list[tuple[float, int]]()

    async def busy(self, clients: int, requests: int) -> _load.Load:
        """A number of clients, each of which is always busy."""
        return await _load.closed_loop(self.url, list(itertools.islice(self._sayings, requests)), clients)

    async def phases(self, plan: Sequence[tuple[str, float, float]]) -> list[Phase]:
        """plan: the name, the requests per second and the seconds of each phase."""
        sampling = asyncio.create_task(self._sample())
        async with _load.client(self.url) as http:
            parts = [await self._send(http, *part) for part in plan]
            found = [await self._heard(*part) for part in parts]
        sampling.cancel()
        return found

    async def _send(self, http: httpx.AsyncClient, name: str, rate: float, seconds: float) -> tuple[Any, ...]:
        """Sends the requests of a phase at their times; does not wait for the responses."""
        at = began = time.perf_counter()
        cpu, tasks = time.process_time(), []
        while (at := at + self._rng.expovariate(rate)) < began + seconds:
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            asking = _load.ask(http, next(self._sayings), asked=at, patient=False, keep=False)
            tasks.append(asyncio.create_task(asking))
        await asyncio.sleep(max(0.0, began + seconds - time.perf_counter()))
        return name, rate, began, began + seconds, tasks, (time.process_time() - cpu) / seconds

    async def _heard(
        self,
        name: str,
        rate: float,
        began: float,
        ended: float,
        tasks: list[asyncio.Task[_load.Answer]],
        cpu: float,
    ) -> Phase:
        answers = list(await asyncio.gather(*tasks))
        memory = [size for at, size in self._samples if began <= at < ended]
        return Phase(name, rate, began, ended, answers, memory, cpu)

    async def _sample(self) -> None:
        while True:
            sample = await asyncio.to_thread(self._watch.sample)
            self._samples.append((time.perf_counter(), sample.total.pss))
            await asyncio.sleep(SAMPLE_S)


def verdict(capacity: _load.Load, below: Phase, over: Phase, after: Phase, settle_s: float) -> dict[str, Any]:
    """What the overload did, in comparison with the phases before it."""
    during = over.figures()

    def ratio(ttfa: dict[str, float]) -> dict[str, float]:
        return {name: round(value / ttfa[name], 2) for name, value in during["ttfa_s"].items()}

    return {
        "ttfa_over_capacity": ratio(ttfa_of(capacity.answers)),
        "ttfa_over_below": ratio(below.figures()["ttfa_s"]),
        "refusals_within_100_ms": round(1 - during["refused_late"] / max(1, during["refused"]), 4),
        "memory_growth_mib": round(_mib(over.memory) - _mib(below.memory), 1),  # pyright: ignore[reportOperatorIssue]
        "after": after.later(settle_s).figures(),
    }


def table(rows: Sequence[dict[str, Any]]) -> Table:
    shown = Table(box=None, pad_edge=False)
    names = (
        "phase|requests/s|accepted/s|429|errors|TTFA p50 / p95 / p99, ms|429 after p50 / p99 / max, ms|late"
    )
    names += "|MiB, most|client CPU"
    for name in names.split("|"):
        shown.add_column(name, justify="left" if name == "phase" else "right")
    for row in rows:
        shown.add_row(
            row["phase"],
            f"{row['rate']:.2f}",
            f"{row['accepted_per_s']:.2f}",
            f"{row['refused']} of {row['requests']}",
            str(sum(row["errors"].values())),
            " / ".join(f"{1000 * row['ttfa_s'][p]:.0f}" for p in ("p50", "p95", "p99")),
            " / ".join(f"{1000 * late[p]:.0f}" for p in ("p50", "p99", "max"))
            if (late := row["refusal_s"])
            else "",
            str(row["refused_late"]),
            str(row["memory_mib"]["most"]),
            f"{row['client_cpu_share']:.0%}",
        )
    return shown


def plot(out: Path, phases: Sequence[Phase], title: str) -> None:
    with _plot.panels(out, title, "first sound of accepted requests, s", "429, s after the request") as axes:
        start = phases[0].began
        for one in phases:
            heard = [(a.asked - start, a.first_s) for a in one.accepted]
            refused = [
                (a.asked - start, a.refused_at - a.asked) for a in one.refused if a.refused_at is not None
            ]
            for axis, points in zip(axes, (heard, refused), strict=True):
                axis.plot([at for at, _ in points], [wait for _, wait in points], ".", label=one.name)
        for axis in axes:
            axis.set_xlabel("s")
            axis.set_ylim(bottom=0)
        axes[0].legend(fontsize=7)


def main() -> None:
    parser = _service.arguments("overload", __doc__)
    parser.add_argument("--requests", type=int, default=64, help="for the capacity (64)")
    parser.add_argument(
        "--below", type=float, default=0.8, help="load before and after, of the capacity (0.8)"
    )
    parser.add_argument("--factor", type=float, default=3.0, help="overload, of the capacity (3)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase (60)")
    parser.add_argument(
        "--settle-s", type=float, default=5.0, help="until full speed, after the overload (5)"
    )
    options = parser.parse_args()

    console = Console(width=200)
    result = _common.origin("overload")
    with _service.running(options.config) as service:
        voices = _judge.judged_voices(service.voices())
        status = service.status()
        clients = status["models"][status["model"]]["stages"]["gpt"]["slots"]
        run = Run(service, voices, options.seed)
        phases, capacity = asyncio.run(measured(run, voices, clients, options, console))
        totals = service.status()["models"][status["model"]]["stages"]
    rows = [one.figures() for one in phases]
    below, over, after = phases
    judged = verdict(capacity, below, over, after, options.settle_s)
    console.print(table([*rows, judged["after"] | {"phase": f"after, from {options.settle_s:g} s on"}]))
    console.print({name: judged[name] for name in judged if name != "after"})
    result |= {
        "config": options.config.name,
        "capacity": {
            "clients": clients,
            "requests_per_s": round(capacity.requests_per_s, 3),
            "ttfa_s": ttfa_of(capacity.answers),
        },
        "phases": rows,
        "overload": judged,
        "stages": {
            name: {key: totals[name][key] for key in ("completed", "refused", "failed")}
            for name in ("gpt", "vocoder")
        },
    }
    _common.finish(options.out, result, console)
    plot(
        options.out,
        phases,
        f"{options.factor:g} x {capacity.requests_per_s:.2f} requests/s, {options.config.name}",
    )


async def measured(
    run: Run, voices: Sequence[str], clients: int, options: argparse.Namespace, console: Console
) -> tuple[list[Phase], _load.Load]:
    await _load.closed_loop(run.url, [_load.Say("Warm up once.", voice, seed=0) for voice in voices], 1)
    await run.busy(clients, 2 * clients)
    capacity = await run.busy(clients, options.requests)
    rate, ttfa = capacity.requests_per_s, ttfa_of(capacity.answers)
    console.print(
        f"{clients} clients: {rate:.2f} requests/s, TTFA p50 {ttfa['p50']:.3f}, p95 {ttfa['p95']:.3f} s"
    )
    below = ("below", options.below * rate, options.seconds)
    over = ("overload", options.factor * rate, options.seconds)
    return await run.phases([below, over, ("after", *below[1:])]), capacity


if __name__ == "__main__":
    main()
