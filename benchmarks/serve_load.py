"""The service under load, over HTTP: first sound, throughput, playback gaps, and quality.

Closed loop: a fixed number of clients, each of which sends its next request when the response is complete. A 429 is
retried after its Retry-After, and the first sound counts from the first try. Listeners: the same, but each plays the
response before its next request, as a real client does; profiles are specified in listeners. Open loop: requests at
random times (Poisson), at shares of the throughput of the closed loop. Every level has the same sentences, voices and
seeds, so that word error rate and voice similarity are paired with those of the first level. Without --url, a service
is started from --config on the same machine; the clients' CPU share is reported.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import _common, _judge, _load, _plot, _service, _statistics

BUFFERS_S = (0.0, 0.2)  # the delay of a player after the first byte


@dataclass(frozen=True, slots=True)
class Level:
    """clients: of a closed loop. rate: requests per second of an open loop."""

    name: str
    load: _load.Load
    clients: int | None = None
    rate: float | None = None

    @property
    def good(self) -> list[_load.Answer]:
        return [answer for answer in self.load.answers if answer.good]

    def figures(self) -> dict[str, Any]:
        load, good = self.load, self.good
        return {
            "level": self.name,
            "clients": self.clients,
            "rate": self.rate and round(self.rate, 3),
            "requests": len(load.answers),
            "ttfa_s": _statistics.percentiles([answer.first_s for answer in good]),
            "rtf": _statistics.percentiles([answer.total_s / answer.seconds for answer in good]),
            "audio_s_per_s": round(load.audio_per_s, 3),
            "requests_per_s": round(load.requests_per_s, 3),
            "errors": dict(Counter(f"{a.status} {a.code}" for a in load.answers if not a.good)),
            "refusals_429": sum(answer.refusals for answer in load.answers),
            "gaps": {str(buffer_s): gaps(good, buffer_s) for buffer_s in BUFFERS_S},
            "client_cpu_share": round(load.client_cpu_s / load.wall_s, 3),
            "lasted_s": round(load.until - load.began, 1),
        }


def gaps(answers: Sequence[_load.Answer], buffer_s: float) -> dict[str, float]:
    """Gaps in playback: the number of streams with gaps, the number of gaps, and their durations."""
    found = [answer.gaps(buffer_s) for answer in answers]
    every = [gap for one in found for gap in one]
    return {
        "streams": sum(map(bool, found)),
        "of": len(found),
        "count": len(every),
        "total_s": round(sum(every), 3),
        "longest_s": round(max(every, default=0.0), 3),
    }


def first_of(level: Level) -> dict[_load.Say, _load.Answer]:
    """The first response for each sentence."""
    found: dict[_load.Say, _load.Answer] = {}
    for answer in level.good:
        found.setdefault(answer.say, answer)
    return found


def compared(level: Level, first: Level, judge: _judge.Judge) -> dict[str, Any]:
    """The quality of a level, its difference from the first level, and the share of responses with the same bytes."""
    here, there = first_of(level), first_of(first)
    if not (both := [say for say in there if say in here]):
        return {"identical": math.nan}
    same = [
        _judge.fingerprint(answer) == _judge.fingerprint(there[answer.say])
        for answer in level.good
        if answer.say in there
    ]
    verdicts = [judge.hear(here[say]) for say in both]
    return {
        "identical": round(sum(same) / len(same), 4),
        **_judge.quality(verdicts),
        "difference": _judge.difference(verdicts, [judge.hear(there[say]) for say in both]),
    }


def sayings(
    texts: Sequence[str], voices: Sequence[str], count: int, least: int, seed: int
) -> list[_load.Say]:
    """`count` sentences in random order, repeated until there are `least` requests; each occurs once per round."""
    every = [_load.Say(texts[n % len(texts)], voices[n % len(voices)], seed=n + seed) for n in range(count)]
    rng, found = random.Random(seed), list[_load.Say]()
    while len(found) < least:
        found += rng.sample(every, len(every))
    return found[: max(least, count)]


async def run(url: str, voices: Sequence[str], options: argparse.Namespace, console: Console) -> list[Level]:
    texts = _common.sentences(40)

    def wanted(least: int) -> list[_load.Say]:
        return sayings(texts, voices, options.sentences, least, options.seed)

    warm = [_load.Say("Warm up once.", voice, seed=0) for voice in voices]
    await _load.closed_loop(url, warm, 1)
    levels: list[Level] = []
    for clients in options.clients:
        console.print(f"{clients} clients …")
        requests = wanted(max(options.requests, 2 * clients))
        load = await _load.closed_loop(url, requests, clients)
        levels.append(Level(f"{clients} client{'s' * (clients > 1)}", load, clients=clients))
    top = max(level.load.requests_per_s for level in levels)
    for listeners in options.listeners:
        console.print(f"{listeners} listeners …")
        load = await _load.closed_loop(
            url, wanted(max(options.requests, 2 * listeners)), listeners, listening=True
        )
        levels.append(Level(f"{listeners} listener{'s' * (listeners > 1)}", load, clients=listeners))
    rates = [(f"{rate:g}/s", rate) for rate in options.rate]
    rates += [(f"{share:.0%} of {top:.2f}/s", share * top) for share in options.share if not options.rate]
    for name, rate in rates:
        console.print(f"open loop, {name} …")
        load = await _load.open_loop(url, wanted(options.requests), rate, options.seed)
        levels.append(Level(f"open, {name}", load, rate=rate))
    return levels


def rows(levels: Sequence[Level], judge: _judge.Judge) -> list[dict[str, Any]]:
    first = levels[0]
    found = []
    for level in levels:
        row = level.figures() | compared(level, first, judge)
        if level is not first and level.good and first.good:
            times = ([a.first_s for a in level.good], [a.first_s for a in first.good])
            row["ttfa_over_first"] = _statistics.ratio_of_medians(*times).figures(2)
        found.append(row)
    return found


def table(found: Iterable[dict[str, Any]]) -> Table:
    shown = Table(box=None, pad_edge=False)
    names = "level|TTFA p50 / p95 / p99, ms|over the first's|RTF p50 / p95|audio s/s|requests/s|429|errors"
    names += "|streams with gaps|with 0.2 s|WER|SIM|identical|equal"
    for name in names.split("|"):
        shown.add_column(name, justify="left" if name == "level" else "right", overflow="fold")
    for row in found:
        ttfa, rtf, ratio = row["ttfa_s"], row["rtf"], row.get("ttfa_over_first")
        plain, buffered = (row["gaps"][str(buffer_s)] for buffer_s in BUFFERS_S)
        quality = ["", "", "", ""]
        if "wer" in row:
            equal = "yes" if row["difference"]["equal"] else "NO"
            quality = [interval(row["wer"]), interval(row["similarity"]), f"{row['identical']:.0%}", equal]
        shown.add_row(
            row["level"],
            " / ".join(f"{1000 * ttfa[p]:.0f}" for p in ("p50", "p95", "p99")),
            f"{ratio['value']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]" if ratio else "",
            f"{rtf['p50']:.2f} / {rtf['p95']:.2f}",
            f"{row['audio_s_per_s']:.2f}",
            f"{row['requests_per_s']:.2f}",
            str(row["refusals_429"]),
            str(sum(row["errors"].values())),
            f"{plain['streams']} of {plain['of']}",
            f"{buffered['streams']} of {buffered['of']}",
            *quality,
        )
    return shown


def interval(figures: dict[str, float]) -> str:
    return f"{figures['value']:.3f} [{figures['low']:.3f}, {figures['high']:.3f}]"


def plot(out: Path, levels: Sequence[Level], found: Sequence[dict[str, Any]], title: str) -> None:
    with _plot.panels(out, title, "first sound, s", "seconds of sound per second", "word error rate") as axes:
        for level in levels:
            times = sorted(answer.first_s for answer in level.good)
            axes[0].plot(times, [(n + 1) / len(times) for n in range(len(times))], label=level.name)
        axes[0].set_xscale("log")
        axes[0].set_ylabel("share of the requests")
        axes[0].legend(fontsize=7)
        names = [level.name.replace(", ", ",\n") for level in levels]
        axes[1].bar(names, [row["audio_s_per_s"] for row in found])
        quality = [(name, row["wer"]) for name, row in zip(names, found, strict=True) if "wer" in row]
        values = [wer["value"] for _, wer in quality]
        below = [wer["value"] - wer["low"] for _, wer in quality]
        above = [wer["high"] - wer["value"] for _, wer in quality]
        axes[2].errorbar([name for name, _ in quality], values, (below, above), fmt="o", capsize=4)
        axes[2].set_ylim(bottom=0)
        for axis in axes[1:]:
            axis.tick_params(axis="x", labelsize=7)


def main() -> None:
    parser, shares = _service.arguments("serve_load", __doc__), _common.numbers_of(float)
    parser.add_argument("--url", help="of a running service; then none is started")
    parser.add_argument(
        "--clients", type=_common.numbers_of(int), default=[1, 8, 64], help="closed loops (1,8,64)"
    )
    parser.add_argument(
        "--listeners",
        type=_common.numbers_of(int),
        default=[4, 8],
        help="closed loops that play the responses (4,8)",
    )
    parser.add_argument("--sentences", type=int, default=32, help="different sentences per level (32)")
    parser.add_argument("--requests", type=int, default=64, help="per level; at least two per client (64)")
    parser.add_argument(
        "--share",
        type=shares,
        default=[0.4, 0.8],
        help="open loops, as shares of the best throughput (0.4,0.8)",
    )
    parser.add_argument(
        "--rate", type=shares, default=[], help="open loops, in requests per second, instead of --share"
    )
    options = parser.parse_args()

    console = Console(width=220)
    result = _common.origin("serve_load")
    with _service.running(options.config, url=options.url) as service:
        voices = _judge.judged_voices(service.voices())
        levels = asyncio.run(run(service.url, voices, options, console))
        status = service.status()
    found = rows(levels, _judge.Judge())
    console.print(table(found))
    if changed := [row["level"] for row in found if "wer" in row and not row["difference"]["equal"]]:
        console.print(
            f"Quality differs from the first level's by more than the 95 % intervals: {', '.join(changed)}"
        )
    else:
        console.print(
            "WER and voice similarity of every level are equal to the first's within 95 % intervals."
        )
    model = status["models"][status["model"]]
    result |= {
        "config": None if options.url else options.config.name,
        "device": model.get("device"),
        "voices": voices,
        "levels": found,
        "stages": {name: _totals(stage) for name, stage in model.get("stages", {}).items()},
    }
    _common.finish(options.out, result, console)
    plot(options.out, levels, found, f"{result['device'].get('name', '')}, {options.config.name}")


def _totals(stage: dict[str, Any]) -> dict[str, Any]:
    """The counters of a stage over the whole run."""
    kept = {name: stage[name] for name in ("completed", "refused", "cancelled", "failed") if name in stage}
    replicas = [replica.get("stats", {}) for replica in stage.get("replicas", {}).values()]
    return kept | {
        "mean_batch": [round(stats["mean_batch"], 2) for stats in replicas if "mean_batch" in stats]
    }


if __name__ == "__main__":
    main()
