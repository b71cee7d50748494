"""Books with a known sound: every segment is a tone of its own pitch, so what is heard tells which segment it is.

Tones begin and end abruptly, but for the first of each chapter, before which it is quiet.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serve_app.books.book import About, Block, Book, Chapter
from serve_app.books.layout import Layout, Pauses, Spoken

RATE = 24_000
LEAD, LOW, STEP = 0.12, 300.0, 40.0  # s of quiet; Hz of the first pitch, and between two
PER_LETTER = 0.03  # s
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # for programs that end soon
EPUBCHECK = Path("/usr/share/java/epubcheck.jar")


def command(name: str) -> str:
    """Skips the test if a program of tests/system_packages.txt is missing."""
    return shutil.which(name) or pytest.skip(f"{name} is not installed (`make system` installs it)")


def ffmpeg_samples(path: Path, rate: int) -> np.ndarray:
    """float32 (N,), decoded by Debian's ffmpeg."""
    options = ["-v", "error", "-i", path, "-map", "0:a", "-f", "f32le", "-ac", "1", "-ar", str(rate), "-"]
    done = subprocess.run([command("ffmpeg"), *options], capture_output=True, check=True)
    assert done.stderr == b""
    return np.frombuffer(done.stdout, "<f4")


@dataclass
class Read:
    """A book, its segments, and their sound."""

    book: Book
    segments: list[Spoken]
    reads: int = 0

    def sound_of(self, spoken: Spoken) -> np.ndarray:
        self.reads += 1
        t = np.arange(spoken.samples) / RATE
        tone = 0.3 * np.sin(2 * np.pi * self.pitch(spoken) * t + 1.0)
        index = self.segments.index(spoken)
        if not index or self.segments[index - 1].chapter != spoken.chapter:
            tone *= np.clip((t - LEAD) / 0.01, 0, 1)
        return tone.astype(np.float32)

    def pitch(self, spoken: Spoken) -> float:
        """In Hz."""
        return LOW + STEP * self.segments.index(spoken)

    def layout(self, pauses: Pauses | None = None) -> Layout:
        return Layout(self.book, self.segments, self.sound_of, RATE, pauses)


def read(book: Book) -> Read:
    """Each sentence of each block is a segment."""
    return Read(book, list(_sentences(book)))


def _sentences(book: Book) -> Iterator[Spoken]:
    for c, chapter in enumerate(book.chapters):
        for b, block in enumerate(chapter.blocks):
            for m in re.finditer(r"[^.!?\s][^.!?]*[.!?]*", block.text):
                samples = round((LEAD + PER_LETTER * len(m[0])) * RATE)
                yield Spoken(c, b, m.span(), m[0], samples, 0.2)


@pytest.fixture
def about() -> About:
    return About(
        title="The Long Way",
        authors=("Ann Author", "Bob Writer"),
        narrator="Nora",
        language="en",
        description="A tale, told twice.",
        publisher="Small Press",
        date="2019-03-04",
        isbn="9780000000002",
        series="Ways",
        part="2",
        genres=("Fantasy", "Fiction"),
    )


@pytest.fixture
def cover() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (1400, 1400), (180, 40, 40)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def short(about: About, cover: bytes) -> Read:
    """Three chapters, the second without a title."""
    chapters = [
        Chapter("One", (Block("One", "heading"), Block("It was late. Nobody came."), Block("So it ended."))),
        Chapter("", (Block("The middle is short."),)),
        Chapter("Größe 第三", (Block("The last words. Of all!"),)),
    ]
    return read(Book(about, tuple(chapters), cover))


@pytest.fixture
def check_epub(tmp_path: Path) -> Callable[[Path], str]:
    """Runs epubcheck on a file. Returns what it found; "" if nothing."""
    java = command("java")
    if not EPUBCHECK.exists():
        pytest.skip("epubcheck is not installed (`make system` installs it)")

    def check(path: Path) -> str:
        done = subprocess.run([java, *QUICK, "-jar", EPUBCHECK, path, "-w"], capture_output=True, text=True)
        found = [
            line for line in (done.stdout + done.stderr).splitlines() if re.match(r"(FATAL|ERROR|WARN)", line)
        ]
        assert found or done.returncode == 0, done.stderr
        return "\n".join(found)

    return check
