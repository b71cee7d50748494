"""Looks at finished audiobooks from outside: with ffprobe, and by the sound that is in them."""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.serve_app.books.conftest import command, ffmpeg_samples

RATE = 16_000  # Hz, at which the sound is looked at
QUIET = 0.01  # of full scale
PAUSE_S = 0.8  # of quiet before a chapter, less than `chapter_pause`
LATE_S = 0.05  # that a chapter's first word may come after its mark


@dataclass(frozen=True, slots=True)
class Heard:
    """A chapter of a file. begin, end: seconds, as the file says; sound: float32 (N,) between them, at RATE."""

    title: str
    begin: float
    end: float
    sound: np.ndarray


def probe(path: Path) -> dict:
    """What ffprobe says of the file, with its chapters."""
    show = ["-show_format", "-show_chapters", "-of", "json"]
    done = subprocess.run([command("ffprobe"), "-v", "error", *show, path], capture_output=True, check=True)
    return json.loads(done.stdout)


def chapters_of(path: Path) -> list[Heard]:
    """Checks that each chapter begins with its first word, after a silence, and that they follow one another."""
    sound, chapters = ffmpeg_samples(path, RATE), []
    for found in probe(path)["chapters"]:
        begin, end = float(found["start_time"]), float(found["end_time"])
        first = round(begin * RATE)
        before = sound[max(0, first - round(PAUSE_S * RATE)) : max(0, first - RATE // 1000)]
        assert not (np.abs(before) > QUIET).any(), f"{found['tags']['title']} begins after its first word"
        after = np.abs(sound[first : first + round(LATE_S * RATE)])
        assert (after > QUIET).any(), (
            f"{found['tags']['title']} begins more than {LATE_S} s before its first word"
        )
        chapters.append(Heard(found["tags"]["title"], begin, end, sound[first : round(end * RATE)]))
    assert chapters[0].begin == 0
    for one, following in itertools.pairwise(chapters):
        assert abs(one.end - following.begin) < 0.002
    assert abs(chapters[-1].end - len(sound) / RATE) < 0.1
    return chapters


def likeness(heard: np.ndarray, stored: np.ndarray) -> float:
    """How much the beginning of a chapter is like its first segment, 1 for the same sound at any level.

    Both float32 (N,) at RATE. Up to 60 ms apart, because a chapter keeps only a little of the quiet before its first
    word.
    """
    size = min(len(stored), RATE // 2)
    onset = int(np.argmax(np.abs(stored) > QUIET))
    wanted = stored[onset : onset + size]
    window = heard[: len(wanted) + round(0.06 * RATE)]
    views = np.lib.stride_tricks.sliding_window_view(window, len(wanted))
    return float((views @ wanted / (np.linalg.norm(views, axis=1) * np.linalg.norm(wanted) + 1e-9)).max())
