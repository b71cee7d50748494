"""A whole book as a job: chapter marks, completeness, intelligibility, the estimate of the time left, and memory.

An EPUB of real sentences is sent to a service, and an M4B comes back. Each chapter of the file must begin with its
first word, and the subtitles must have every sentence once and in order. A sample of each chapter's sentences is cut
from the file and recognised, and so are the same sentences when the service speaks them alone. From a quarter of the
way on, each estimate of the time left is compared with the time that was left. The memory of every process is sampled.
Needs ffmpeg.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import subprocess
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import _common, _load, _memory, _service, _statistics
from benchmarks._memory import MIB
from benchmarks.jobs import BUSY
from tests.books import Epub, Page

POLL_S = 1.0
RATE = 16_000  # Hz, at which the file is looked at
QUIET = 0.01  # of full scale: the first louder sample is a chapter's first word
LOOK_S = 0.5  # of sound on each side of a chapter's mark
PROGRESSES = (0.25, 0.95)  # between which the estimate of the time left is judged
OPENINGS = (
    "Well Then Today So Now Here Later Often Still Once Again Soon Perhaps Indeed First Next Meanwhile There Sometimes "
    "Yesterday Tomorrow Finally Usually Outside Inside Nearby Luckily Sadly Clearly Slowly Quietly Suddenly Maybe"
).split()
CUE = re.compile(r"\d+\n(\d+):(\d+):(\d+),(\d+) --> (\d+):(\d+):(\d+),(\d+)\n(.*?)\n\n", re.DOTALL)


def novel(chapters: int, characters: int) -> tuple[bytes, list[list[str]]]:
    """An EPUB of about `characters` characters, and the sentences of each chapter, each a paragraph of its own."""
    supply = [f"{opening}, {text}" for opening, text in product(OPENINGS, _common.sentences(40))]
    random.Random(7).shuffle(supply)
    told: list[list[str]] = []
    for _ in range(chapters):
        chapter: list[str] = []
        while sum(map(len, chapter)) < characters / chapters:
            supply.append(supply[0])  # a long book has a sentence more than once
            chapter.append(supply.pop(0))
        told.append(chapter)
    pages = [
        Page(
            f"<h2>Chapter {n}</h2>{''.join(f'<p>{t}</p>' for t in chapter)}",
            f"Chapter {n}",
            type="bodymatter",
        )
        for n, chapter in enumerate(told, 1)
    ]
    return Epub(pages).build(), told


class Watched:
    """A job while it runs: (share of the characters, estimate of the time left, s, time, s), and memory."""

    def __init__(self, service: _service.Service) -> None:
        self.estimates: list[tuple[float, float, float]] = []
        self.samples: list[tuple[float, _memory.Sample]] = []
        self._watch = _memory.Watch(service)

    async def finished(self, http: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
        while (job := (await http.get(f"/v1/jobs/{job_id}")).raise_for_status().json())["state"] in BUSY:
            progress, now = job["progress"], time.perf_counter()
            share = progress["characters_done"] / max(1, progress["characters"])
            if progress["remaining_seconds"] is not None:
                self.estimates.append((share, progress["remaining_seconds"], now))
            self.samples.append((share, await asyncio.to_thread(self._watch.sample)))
            await asyncio.sleep(POLL_S)
        if job["state"] != "done":
            raise SystemExit(f"the job ended as {job['state']}: {job['error']}")
        self.ended = time.perf_counter()
        return job

    def errors(self) -> list[float]:
        """The error of each estimate as a share of the time that was left."""
        low, high = PROGRESSES
        left = [(wanted, self.ended - at) for share, wanted, at in self.estimates if low <= share <= high]
        return [abs(wanted - real) / real for wanted, real in left]

    def memory(self) -> dict[str, Any]:
        """MiB of each process's part at a quarter, at half and at the end, each the median of a tenth of the way."""
        found: dict[str, dict[str, float]] = {}
        for name, at in (("quarter", 0.25), ("half", 0.5), ("end", 0.9)):
            near = [sample for share, sample in self.samples if at <= share <= at + 0.1]
            for part in sorted({part for sample in near for part in sample.parts}):
                sizes = [sample.parts[part].rss / MIB for sample in near if part in sample.parts]
                found.setdefault(part, {})[name] = round(float(np.median(sizes)), 1)
        return found


def decoded(path: Path) -> np.ndarray:
    """float32 (N,) at RATE."""
    options = [
        "-v",
        "error",
        "-i",
        str(path),
        "-map",
        "0:a",
        "-f",
        "f32le",
        "-ac",
        "1",
        "-ar",
        str(RATE),
        "-",
    ]
    return np.frombuffer(subprocess.run(["ffmpeg", *options], capture_output=True, check=True).stdout, "<f4")


def chapter_starts(path: Path) -> list[float]:
    """Seconds, as ffprobe reads them."""
    command = ["ffprobe", "-v", "error", "-show_chapters", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, check=True)
    return [float(chapter["start_time"]) for chapter in json.loads(done.stdout)["chapters"]]


def lateness(sound: np.ndarray, start: float) -> float:
    """Seconds from a chapter's mark to its first word; negative if the word begins before the mark."""
    first, around = round(start * RATE), round(LOOK_S * RATE)
    before = np.flatnonzero(np.abs(sound[max(0, first - around) : first]) > QUIET)
    if len(before):
        return float(before[0] - min(first, around)) / RATE
    after = np.flatnonzero(np.abs(sound[first : first + around]) > QUIET)
    return float(after[0]) / RATE if len(after) else LOOK_S


def cues(srt: str) -> list[tuple[str, float, float]]:
    """(text, begin, end) in seconds."""
    found = []
    for match in CUE.finditer(srt):
        times = [int(group) for group in match.groups()[:8]]
        begin, end = (3600 * h + 60 * m + s + ms / 1000 for h, m, s, ms in (times[:4], times[4:]))
        found.append((" ".join(match[9].split()), begin, end))
    return found


async def heard(
    url: str,
    voice: str,
    seed: int,
    told: list[list[str]],
    lines: list[tuple[str, float, float]],
    sound: np.ndarray,
    count: int,
) -> list[dict[str, float]]:
    """The word error rate of `count` sentences of each chapter, from the book and alone."""
    known = {text: (begin, end) for text, begin, end in lines}
    rates, draw = [], random.Random(seed)
    async with _load.client(url) as http:
        for chapter in told:
            whole = [text for text in chapter if text in known]  # a long sentence has several cues
            chosen = draw.sample(whole, min(count, len(whole)))
            book, alone = _common.Listener(), _common.Listener()
            for text in chosen:
                begin, end = (round(at * RATE) for at in known[text])
                await asyncio.to_thread(book.hear, text, sound[begin:end], RATE)
                answer = await _load.ask(http, _load.Say(text, voice, seed), keep=True)
                await asyncio.to_thread(alone.hear, text, answer.waveform, _load.PCM_RATE)
            rates.append({"book": round(book.wer(), 4), "alone": round(alone.wer(), 4)})
    return rates


async def measured(
    service: _service.Service, options: argparse.Namespace, console: Console
) -> dict[str, Any]:
    epub, told = novel(options.chapters, options.characters)
    watched = Watched(service)
    async with _load.client(service.url) as http:
        form = {"voice": options.voice, "seed": str(options.seed), "format": "m4b"}
        files = {"file": ("book.epub", epub, "application/epub+zip")}
        began = time.perf_counter()
        answer = (await http.post("/v1/jobs", data=form, files=files)).raise_for_status()
        job = await watched.finished(http, answer.json()["id"])
        took = watched.ended - began
        report = (await http.get(f"/v1/jobs/{job['id']}/report")).raise_for_status().json()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "book.m4b"
            path.write_bytes((await http.get(f"/v1/jobs/{job['id']}/audio")).raise_for_status().content)
            sound, starts = await asyncio.to_thread(decoded, path), chapter_starts(path)
        (srt,) = [output["url"] for output in job["outputs"] if output["format"] == "srt"]
        lines = cues((await http.get(srt)).raise_for_status().text + "\n")
        await http.delete(f"/v1/jobs/{job['id']}")
    console.print("listening …")
    words = " ".join(text for text, _, _ in lines).split()
    wanted = " ".join(
        text for n, chapter in enumerate(told, 1) for text in (f"Chapter {n}", *chapter)
    ).split()
    late = [lateness(sound, start) for start in starts]
    errors = watched.errors()
    return {
        "chapters": len(starts),
        "characters": sum(len(text) for chapter in told for text in chapter),
        "audio_s": round(len(sound) / RATE, 1),
        "took_s": round(took, 1),
        "audio_s_per_s": round(len(sound) / RATE / took, 2),
        "report": {
            name: report[name] for name in ("asked", "spoken", "retried", "cut", "faulty") if name in report
        },
        "every_word_once_in_order": words == wanted,
        "chapter_to_first_word_ms": _common.summary([1000 * value for value in late]),
        "earliest_word_ms": round(1000 * min(late), 1),
        "time_left_error": _common.summary(errors) if errors else None,
        "wer": (
            rates := await heard(service.url, options.voice, options.seed, told, lines, sound, options.listen)
        ),
        "wer_difference": _statistics.mean([rate["book"] - rate["alone"] for rate in rates]).figures(4),
        "memory_mib": watched.memory(),
    }


def table(found: dict[str, Any]) -> Table:
    shown = Table(box=None, pad_edge=False, show_header=False)
    late, left, rates = found["chapter_to_first_word_ms"], found["time_left_error"], found["wer"]
    shown.add_row("chapters, characters", f"{found['chapters']}, {found['characters']}")
    shown.add_row(
        "audio, time, audio s/s", f"{found['audio_s']} s, {found['took_s']} s, {found['audio_s_per_s']}"
    )
    shown.add_row("segments", ", ".join(f"{count} {name}" for name, count in found["report"].items()))
    shown.add_row("every word once, in order", str(found["every_word_once_in_order"]))
    shown.add_row("chapter to first word, ms", f"{found['earliest_word_ms']} to {late['max']:.1f}")
    if left:
        shown.add_row(
            "error of the time left", f"p50 {left['p50']:.0%}, p90 {left['p90']:.0%}, max {left['max']:.0%}"
        )
    if rates:
        means = [float(np.mean([rate[name] for rate in rates])) for name in ("book", "alone")]
        worse = sum(rate["book"] > rate["alone"] for rate in rates)
        shown.add_row(
            "WER, book and alone", f"{means[0]:.1%}, {means[1]:.1%}; {worse} chapters worse in the book"
        )
    for part, sizes in found["memory_mib"].items():
        shown.add_row(f"MiB, {part}", ", ".join(f"{size:.0f} at {when}" for when, size in sizes.items()))
    return shown


def main() -> None:
    parser = _service.arguments("book", __doc__)
    parser.add_argument("--url", help="of a running service; then none is started, and memory is not sampled")
    parser.add_argument("--voice", default="clara")
    parser.add_argument("--chapters", type=int, default=20)
    parser.add_argument("--characters", type=int, default=60_000)
    parser.add_argument("--listen", type=int, default=6, help="sentences recognised in each chapter (6)")
    options = parser.parse_args()

    console, result = Console(width=120), _common.origin("book")
    with _service.running(options.config, url=options.url) as service:
        result |= asyncio.run(measured(service, options, console))
    console.print(table(result))
    _common.finish(options.out, result, console)


if __name__ == "__main__":
    main()
