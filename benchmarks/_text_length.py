"""Measures whether memory grows with the length of a text: one service for each length speaks one text."""

from __future__ import annotations

import argparse
import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import _common, _load, _memory, _plot, _service
from benchmarks._memory import MIB

SAMPLE_S = 1.0  # between samples
MOST_GROWTH = 1.1  # allowed ratio of the peaks of the longest and the shortest text


def long_text(chars: int, seed: int) -> str:
    """Test sentences in random order, exactly `chars` characters."""
    rng, parts, size = random.Random(seed), [], 0
    while size < chars:
        for sentence in rng.sample(every := _common.sentences(40), len(every)):
            parts.append(sentence)
            size += len(sentence) + 1
    return " ".join(parts)[: chars - 1].rstrip(" .").ljust(chars - 1, "s") + "."


@contextmanager
def peaks(service: _service.Service) -> Iterator[list[_memory.Sample]]:
    """Samples the service every SAMPLE_S in a thread."""
    samples, ended, watch = list[_memory.Sample](), threading.Event(), _memory.Watch(service)

    def run() -> None:
        while not ended.wait(SAMPLE_S):
            samples.append(watch.sample())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()
        samples.append(watch.sample())


async def speak_long(url: str, text: str, voice: str, budget_s: float) -> _load.Answer:
    async with _load.client(url) as http:
        return await _load.ask(http, _load.Say(text, voice, seed=1), leave_after_s=budget_s, keep=False)


def one_length(chars: int, options: argparse.Namespace) -> dict[str, Any]:
    environ = {"CHORALE_LIMITS__MAX_INPUT_CHARS": str(max(options.chars))}
    http = {"request_timeout_s": 2 * options.budget_s}
    with _service.running(options.config, environ=environ, http=http) as service:
        (voice, *_) = service.voices()
        asyncio.run(speak_long(service.url, long_text(300, options.seed), voice, options.budget_s))
        before = _memory.Watch(service).sample()
        with peaks(service) as samples:
            answer = asyncio.run(
                speak_long(service.url, long_text(chars, options.seed + 1), voice, options.budget_s)
            )
    if answer.code is not None:
        raise SystemExit(f"{chars} characters: {answer.status} {answer.code}")
    top = max(samples, key=lambda sample: sample.total.pss)
    devices = [sample.device_bytes for sample in samples if sample.device_bytes is not None]
    return {
        "chars": chars,
        "audio_s": round(answer.seconds, 1),
        "ttfa_s": round(answer.first_s, 3),
        "rtf": round(answer.total_s / answer.seconds, 3),
        "whole": not answer.left,
        "before_mib": round(before.total.pss / MIB, 1),
        "peak_mib": round(top.total.pss / MIB, 1),
        "parts_mib": {name: round(held.pss / MIB, 1) for name, held in top.parts.items()},
        "device_mib": round(max(devices) / MIB, 1) if devices else None,
    }


def text_length(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    rows = []
    for chars in sorted(options.chars):
        console.print(f"{chars} characters …")
        rows.append(one_length(chars, options))
    ratio = rows[-1]["peak_mib"] / rows[0]["peak_mib"]
    shown = Table(
        "characters", "seconds of sound", "first sound, s", "RTF", "before, MiB", "peak, MiB", box=None
    )
    for row in rows:
        heard = f"{row['audio_s']}" + ("" if row["whole"] else " (left then)")
        cells = (row[key] for key in ("ttfa_s", "rtf", "before_mib", "peak_mib"))
        shown.add_row(str(row["chars"]), heard, *map(str, cells))
    console.print(shown)
    met = ratio <= MOST_GROWTH
    console.print(
        f"Peak {ratio:.3f} x that of the shortest; at most {MOST_GROWTH}: {'met' if met else 'NOT met'}."
    )
    names = sorted({name for row in rows for name in row["parts_mib"]})
    with _plot.panels(options.out, "peak of the whole service", "MiB by part") as (axis,):
        bottom = [0.0] * len(rows)
        labels = [str(row["chars"]) for row in rows]
        for name in names:
            held = [row["parts_mib"].get(name, 0.0) for row in rows]
            axis.bar(labels, held, bottom=bottom, label=name)
            bottom = [a + b for a, b in zip(bottom, held, strict=True)]
        axis.set_xlabel("characters")
        axis.legend(fontsize=6)
    return {"lengths": rows, "peak_ratio": round(ratio, 4), "most": MOST_GROWTH, "met": met}
