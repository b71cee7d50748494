"""Shared by the benchmarks: arguments, a description of the machine, word error rates, and the results file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import psutil
from rich.console import Console

if TYPE_CHECKING:
    from serve_app.cli.speaker import Speaker

ROOT = Path(__file__).resolve().parent.parent
SENTENCES = ROOT / "tests" / "data" / "sentences.txt"
LISTEN_RATE = 16000  # Hz, the input of pocketsphinx
N = TypeVar("N", int, float)


def arguments(name: str, about: str | None) -> argparse.ArgumentParser:
    """The parser of `python -m benchmarks.NAME`, with --out."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    out = Path("benchmarks/results") / f"{name}.json"
    parser.add_argument("--out", type=Path, default=out, help=str(out))
    return parser


def numbers_of(kind: Callable[[str], N]) -> Callable[[str], list[N]]:
    """The parser of an argument such as 1,8,64."""

    def numbers(text: str) -> list[N]:
        return [kind(part) for part in text.split(",") if part]

    return numbers


def sentences(count: int) -> list[str]:
    """The first `count` test sentences. None of them is in the training text."""
    return SENTENCES.read_text("utf-8").splitlines()[:count]


def english_voices(speaker: Speaker) -> list[str]:
    """The shipped English voices, because the test sentences are English."""
    cards = speaker.service.voices.list()
    return [card.name for card in cards if card.shipped and card.language in (None, "en")]


def pin_to_one_core() -> int | None:
    """Pins this process and its threads to one core. Returns its number, or None if the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def origin(name: str) -> dict[str, Any]:
    """The head of the results of benchmarks.NAME. Call it before the work, so that the load is that of others."""
    return {**provenance(f"benchmarks.{name}"), "machine": machine()}


def machine() -> dict[str, Any]:
    memory = psutil.virtual_memory().total / 2**30
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def provenance(module: str) -> dict[str, Any]:
    """The command, the commit and the time."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    changed = " with changes" if _git("status", "--porcelain", "--untracked-files=no") else ""
    return {
        "command": " ".join(["python", "-m", module, *sys.argv[1:]]),
        "commit": f"{commit}{changed}" if commit else "unknown",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def summary(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "mean": round(statistics.fmean(ordered), 4),
        "p50": round(statistics.median(ordered), 4),
        "p90": round(ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))], 4),
        "max": round(ordered[-1], 4),
    }


def finish(file: Path, result: dict[str, Any], console: Console) -> None:
    """Saves the results, which begin with their `origin`, and prints the path."""
    save(file, result)
    console.print(f"Load of the machine before: {result['machine']['load']}. Written: {file}")


def save(file: Path, result: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


class Listener:
    """pocketsphinx with its default English model. `errors` is the sum over everything it has heard."""

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        self._decoder = Decoder(samprate=float(LISTEN_RATE), loglevel="FATAL")
        self._said: list[str] = []
        self._heard: list[str] = []

    def hear(self, said: str, waveform: np.ndarray, rate: int) -> str:
        """waveform: float32 (N,). Returns the recognised words."""
        import soxr

        samples = soxr.resample(waveform, rate, LISTEN_RATE)
        samples = samples * (0.7 / max(1e-4, float(np.abs(samples).max())))
        samples = np.pad((samples * 32767).astype(np.int16), LISTEN_RATE // 5)
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        heard = words(hypothesis.hypstr if hypothesis else "")
        self._said.append(words(said))
        self._heard.append(heard)
        return heard

    def wer(self) -> float:
        """All word errors so far, as a share of the spoken words."""
        import jiwer

        return float(jiwer.wer(self._said, self._heard))


def words(text: str) -> str:
    text = re.sub(r"\(\d+\)|<\w+>|\[\w+\]", " ", text.lower())
    return " ".join(re.sub(r"[^a-z' ]", " ", text).split())


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
