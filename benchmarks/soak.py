"""Measures whether memory grows with the number of requests, or with the length of a text.

By default, a new service answers --requests with mixed lengths, voices and seeds. One client in five disconnects during
the sound, and one in five before it. The memory of every process is measured between rounds of requests. The result is
the slope over the last half, in KiB per request. The first half does not count, because caches, pools and Ray's event
buffers fill for about 2,000 requests. The 95 % interval accounts for autocorrelation (see _statistics.slope). Ray's
processes, and Ray's part of ours, also grow with time alone. So the service is observed for --idle-s without requests,
and its growth then, per duration of a request, is reported and subtracted. With --text-length instead, one service for
each length in --chars speaks one text, and the peaks of the total memory are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import _common, _judge, _load, _memory, _plot, _service, _statistics
from benchmarks._memory import MIB
from benchmarks._text_length import text_length

OURS, TOTAL = "without Ray's own", "total"
JUDGED = 24  # responses kept for the word error rate
JUDGED_S = 2.0  # least sound in each of them
SETTLE_S = 0.3  # after a round, for cancelled work to end
IDLE_PERIOD_S = 3.0  # between two samples of the idle service


def asking(rng: random.Random, voices: Sequence[str]) -> tuple[_load.Say, dict[str, Any]]:
    """A request of a few words, rarely of two sentences, and the client's behaviour as options of `_load.ask`."""
    words = rng.choice(_common.sentences(40)).rstrip(".").split()
    text = " ".join(words[: rng.randint(2, len(words))]) + "."
    if rng.random() < 0.1:
        text += " " + rng.choice(_common.sentences(40))
    say = _load.Say(text, rng.choice(voices), rng.randrange(2**31))
    fate = rng.random()
    if fate < 0.2:
        return say, {"leave_after_s": rng.uniform(0.005, 0.15)}
    if fate < 0.4:
        return say, {"leave_after_bytes": round(rng.uniform(0.05, 0.6) * _load.BYTES_PER_S)}
    return say, {}


class Soak:
    """Sends requests in rounds, and samples the memory after each."""

    def __init__(self, service: _service.Service, voices: Sequence[str], options: argparse.Namespace) -> None:
        self.samples: list[_memory.Sample] = []
        self.taken_at: list[float] = []  # s
        self.idle: list[_memory.Sample] = []
        self.counts: Counter[str] = Counter()
        self.kept: list[_load.Answer] = []
        self._service, self._voices, self._options = service, voices, options
        self._watch = _memory.Watch(service)
        self._rng = random.Random(options.seed)

    async def run(self, console: Console) -> None:
        rounds = math.ceil(self._options.requests / self._options.round)
        for index in range(rounds):
            await self._one_round(keep=index >= rounds - 6)
            await asyncio.sleep(SETTLE_S)
            self.samples.append(await self._sample())
            self.taken_at.append(time.perf_counter())
            held = self.samples[-1].total.rss / MIB
            console.print(f"{(index + 1) * self._options.round} requests, {held:.0f} MiB  ", end="\r")

        for _ in range(round(self._options.idle_s / IDLE_PERIOD_S)):
            await asyncio.sleep(IDLE_PERIOD_S)
            self.idle.append(await self._sample())

    @property
    def seconds_per_request(self) -> float:
        half = self.taken_at[len(self.taken_at) // 2 :]
        return (half[-1] - half[0]) / ((len(half) - 1) * self._options.round)

    async def _sample(self) -> _memory.Sample:
        if self._options.trim:
            await asyncio.to_thread(self._service.free)
        return self._watch.sample()

    async def _one_round(self, keep: bool) -> None:
        waiting = deque(asking(self._rng, self._voices) for _ in range(self._options.round))

        async def one(http: httpx.AsyncClient) -> None:
            while waiting:
                say, fate = waiting.popleft()
                answer = await _load.ask(http, say, keep=keep and not fate, **fate)
                self.counts[outcome(answer)] += 1
                if answer.good and answer.data and answer.seconds >= JUDGED_S:
                    self.kept.append(answer)

        async with _load.client(self._service.url) as http:
            await asyncio.gather(*(one(http) for _ in range(self._options.clients)))


def outcome(answer: _load.Answer) -> str:
    if answer.left:
        return "left in the middle" if answer.arrivals else "left before the first sound"
    return "heard" if answer.good else f"{answer.status} {answer.code}"


def held_by(name: str, sample: _memory.Sample) -> _memory.Held:
    sums = {OURS: sample.ours, TOTAL: sample.total}
    return sums.get(name) or sample.parts.get(name, _memory.Held())


def slopes(
    samples: Sequence[_memory.Sample],
    requests: int,
    idle: Sequence[_memory.Sample] = (),
    seconds_per_request: float = 0.0,
) -> dict[str, dict[str, Any]]:
    """KiB per request for each part and for the total, over the last half of the samples, `requests` apart.

    idle: samples without requests, IDLE_PERIOD_S apart, which give the growth with time alone.
    """
    half = samples[len(samples) // 2 :]
    at = [requests * index for index in range(len(half))]
    parts = sorted({name for sample in half for name in sample.parts})
    found = {}
    for name in [*parts, OURS, TOTAL]:
        series = [held_by(name, sample) for sample in half]
        rss, uss = ([getattr(held, kind) / 1024 for held in series] for kind in ("rss", "uss"))
        slope = _statistics.slope(at, rss)
        found[name] = {
            "half_mib": round(rss[0] / 1024, 1),
            "end_mib": round(rss[-1] / 1024, 1),
            "rss_kib_per_request": slope.figures(),
            "uss_kib_per_request": _statistics.slope(at, uss).figures(),
            "zero_within": slope.holds(0.0),
        }
        if len(idle) > 8:
            passed = [IDLE_PERIOD_S * index for index in range(len(idle))]
            waiting = _statistics.slope(passed, [held_by(name, sample).rss / 1024 for sample in idle])
            beyond = slope - waiting * seconds_per_request
            found[name] |= {
                "idle_kib_per_s": waiting.figures(),
                "beyond_idle_kib_per_request": beyond.figures(),
                "zero_within_beyond_idle": beyond.holds(0.0),
            }
    return found


def soak(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    with _service.running(options.config) as service:
        voices = _judge.judged_voices(service.voices())
        run = Soak(service, voices, options)
        began = time.perf_counter()
        asyncio.run(run.run(console))
        lasted = run.taken_at[-1] - began
        status = service.status()
    found = slopes(run.samples, options.round, run.idle, run.seconds_per_request)
    console.print(soak_table(found, options.requests))
    judge = _judge.Judge()
    quality = _judge.quality([judge.hear(answer) for answer in run.kept[-JUDGED:]])
    half = run.samples[len(run.samples) // 2 :]
    result = {
        "requests": options.requests,
        "clients": options.clients,
        "trimmed": options.trim,
        "lasted_s": round(lasted, 1),
        "requests_per_s": round(options.requests / lasted, 2),
        "idle_s": options.idle_s,
        "outcomes": dict(run.counts),
        **quality,
        "device": status.get("device"),
        "processes_replaced": half[0].pids != half[-1].pids,
        "device_bytes": [sample.device_bytes for sample in half] if half[0].device_bytes else None,
        "slopes": found,
        "rss_mib": {
            name: [round(held_by(name, sample).rss / MIB, 2) for sample in run.samples] for name in found
        },
    }
    console.print(
        f"{result['requests_per_s']} requests/s, WER {quality['wer']['value']:.1%}: {result['outcomes']}"
    )
    grown = [n for n, row in found.items() if not row.get("zero_within_beyond_idle", row["zero_within"])]
    console.print(
        "Zero lies within every interval." if not grown else f"Zero lies outside: {', '.join(grown)}."
    )
    plot_soak(options.out, result, options.round)
    return result


def soak_table(found: dict[str, dict[str, Any]], requests: int) -> Table:
    shown = Table(box=None, pad_edge=False, title=f"{requests} requests, the last half of them")
    shown.add_column("process")
    for name in ("RSS, MiB", "KiB per request", "zero within", "without idle growth", "zero within"):
        shown.add_column(name, justify="right")
    for name, row in found.items():
        cells = [f"{row['half_mib']:.1f} → {row['end_mib']:.1f}"]
        for slope, zero in (
            ("rss_kib_per_request", "zero_within"),
            ("beyond_idle_kib_per_request", "zero_within_beyond_idle"),
        ):
            if slope in row:
                one = row[slope]
                cells.append(f"{one['value']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]")
                cells.append("yes" if row[zero] else "NO")
        shown.add_row(name, *cells)
    return shown


def plot_soak(out: Path, result: dict[str, Any], requests: int) -> None:
    with _plot.panels(out, "memory over requests", "RSS since the middle, MiB", "RSS, MiB") as axes:
        count = len(next(iter(result["rss_mib"].values())))
        at = [requests * (index + 1) for index in range(count)]
        parts = [name for name in result["rss_mib"] if name not in (OURS, TOTAL)]
        for name, series in ((name, result["rss_mib"][name]) for name in parts):
            axes[0].plot(at, [value - series[len(series) // 2] for value in series], label=name, linewidth=1)
            axes[1].plot(at, series, label=name, linewidth=1)
        axes[0].set_ylim(-10, 10)
        axes[0].axvline(requests * (count // 2 + 1), color="black", linestyle="--", linewidth=1)
        axes[1].legend(fontsize=6)
        for axis in axes:
            axis.set_xlabel("requests")


def main() -> None:
    parser = _service.arguments("soak", __doc__)
    parser.add_argument("--requests", type=int, default=4000, help="the last half counts (4000)")
    parser.add_argument("--round", type=int, default=20, help="requests between two samples (20)")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument(
        "--idle-s", type=float, default=180.0, help="seconds without requests at the end (180)"
    )
    parser.add_argument(
        "--trim", action="store_true", help="free the caches before each sample, to measure held memory only"
    )
    parser.add_argument(
        "--text-length", action="store_true", help="compare texts of --chars (text_length.json)"
    )
    parser.add_argument("--chars", type=_common.numbers_of(int), default=[500, 50_000], help="500,50000")
    parser.add_argument(
        "--budget-s", type=float, default=1800.0, help="limit for one text, in seconds (1800)"
    )
    options = parser.parse_args()
    if options.text_length and options.out == parser.get_default("out"):
        options.out = options.out.with_name("text_length.json")
    if not options.text_length and options.requests < 16 * options.round:
        parser.error(
            "--requests must be at least 16 times --round, because the slope uses half of the samples"
        )

    console = Console(width=140)
    result = {**_common.origin("soak"), "config": options.config.name}
    result |= (text_length if options.text_length else soak)(options, console)
    _common.finish(options.out, result, console)


if __name__ == "__main__":
    main()
