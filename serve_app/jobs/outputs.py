"""All output files of a book."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from deployments.contract.errors import InvalidInput
from serve_app.books import audiobook, file_tags, sandbox, subtitles
from serve_app.books.audiobook import Contents
from serve_app.books.book import Book
from serve_app.books.cover import Cover, read_cover
from serve_app.books.edition import Spoken
from serve_app.books.layout import Layout
from serve_app.books.loudness import TARGET, Gain, gain_for, measure
from serve_app.books.read_along import write_read_along
from serve_app.books.timeline import Line

READ_ALONG = ".read-along.epub"  # so that it never has the name of its source book
QUIETEST, LOUDEST = -40.0, -9.0  # LUFS, the allowed range
NAME = 100  # characters of a file's name that come from a title
RESERVED = frozenset('<>:"/\\|?*')


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files to write.

    per_chapter: a file for each chapter rather than one; loudness: in LUFS, None leaves the level unchanged;
    read_along: the EPUB that the book was read from.
    """

    format: str = "m4b"
    per_chapter: bool = False
    bit_rate: int | None = None
    loudness: float | None = TARGET
    subtitles: bool = True
    read_along: bytes | None = None

    def check(self) -> None:
        """Raises InvalidInput for options that cannot be met."""
        audiobook.check(self.format, self.bit_rate)
        if self.loudness is not None and not QUIETEST <= self.loudness <= LOUDEST:
            allowed = f"must be {QUIETEST:g} to {LOUDEST:g} LUFS, or null"
            raise InvalidInput(f"Invalid 'loudness': {allowed}.", param="loudness")


@dataclass(frozen=True, slots=True)
class Output:
    """A file that is complete. format: of Outputs, or "srt", "vtt", "epub"; seconds: of sound, 0 without."""

    path: Path
    format: str
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


def gain_of(layout: Layout, loudness: float | None) -> Gain:
    """The gain for a whole book. Reads all of its sound once."""
    return (
        Gain(0.0) if loudness is None else gain_for(measure(layout.blocks(), layout.timeline.rate), loudness)
    )


def write_outputs(folder: Path, book: Book, layout: Layout, wanted: Outputs, gain: Gain) -> Iterator[Output]:
    """Writes the files into an existing folder, the sound first, and yields each when it is complete.

    The names come from the titles. Raises InvalidInput (as `Outputs.check`), ValueError for a book without sound, and
    for the read-along, the last file, what `Sandbox.edition` raises.
    """
    wanted.check()
    writer = _Writer(folder, book, layout, wanted, gain)
    yield from writer.chapters() if wanted.per_chapter else writer.whole()
    if wanted.read_along is not None:
        yield writer.read_along(wanted.read_along)


class _Writer:
    def __init__(self, folder: Path, book: Book, layout: Layout, wanted: Outputs, gain: Gain) -> None:
        self._folder, self._book, self._layout, self._wanted, self._gain = folder, book, layout, wanted, gain
        self._timeline = layout.timeline
        self._stem = file_name(book.about.title) or "book"
        self._warnings: list[str] = []
        self._cover = self._read_cover()

    def whole(self) -> Iterator[Output]:
        about, format, timeline = self._book.about, self._wanted.format, self._timeline
        contents = Contents(
            file_tags.tags(about, format), file_tags.freeform(about), timeline.marks, 0, self._cover
        )
        yield self._sound(self._stem, format, 0, timeline.samples, contents)
        yield from self._subtitles(self._stem, timeline.lines, 0)

    def chapters(self) -> Iterator[Output]:
        about, format, marks = self._book.about, self._wanted.format, self._timeline.marks
        for number, mark in enumerate(marks, 1):
            stem = chapter_name(number, len(marks), mark.title)
            tags = file_tags.chapter_tags(about, format, mark.title, number, len(marks))
            contents = Contents(tags, file_tags.freeform(about), (), mark.begin, self._cover)
            yield self._sound(stem, format, mark.begin, mark.end, contents)
            yield from self._subtitles(stem, self._timeline.lines_of(mark), mark.begin)

    def read_along(self, epub: bytes) -> Output:
        path, rate = self._folder / f"{self._stem}{READ_ALONG}", self._timeline.rate

        def sound(begin: int, end: int) -> Iterator[np.ndarray]:
            return self._gain.apply(self._layout.blocks(begin, end), rate)

        spoken = Spoken(self._book.about, self._timeline, datetime.now(UTC))
        write_read_along(path, sandbox.shared().edition(epub, spoken), self._timeline, sound)
        return Output(path, "epub", self._timeline.samples / rate)

    def _sound(self, stem: str, format: str, begin: int, end: int, contents: Contents) -> Output:
        path = self._folder / f"{stem}.{format}"
        sound = self._gain.apply(self._layout.blocks(begin, end), self._timeline.rate)
        written = audiobook.write(path, format, sound, self._timeline.rate, contents, self._wanted.bit_rate)
        warnings, self._warnings = (*self._warnings, *written.warnings), []
        return Output(path, format, written.seconds, warnings)

    def _subtitles(self, stem: str, lines: Sequence[Line], origin: int) -> Iterator[Output]:
        if not self._wanted.subtitles:
            return
        for format, pieces in (("srt", subtitles.srt), ("vtt", subtitles.vtt)):
            path = self._folder / f"{stem}.{format}"
            with audiobook.completed(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
                file.writelines(pieces(lines, self._timeline.rate, origin))
            yield Output(path, format)

    def _read_cover(self) -> Cover | None:
        if self._book.cover is None:
            return None
        try:
            return read_cover(self._book.cover)
        except InvalidInput:
            self._warnings.append("The book's cover is neither a JPEG nor a PNG file, so it was left out.")
            return None


def chapter_name(number: int, count: int, title: str) -> str:
    """The file name of a chapter; names sort in the order of the chapters."""
    return f"{number:0{max(2, len(str(count)))}} {file_name(title)}".strip()


def file_name(title: str) -> str:
    """The part of a title that is valid in a file's name on every system; may be ""."""
    composed = unicodedata.normalize("NFC", title)
    safe = "".join(" " if c in RESERVED or not c.isprintable() else c for c in composed)
    name = " ".join(safe.split())[:NAME].strip(" .")
    while len(name.encode()) > 200:  # file systems allow 255 bytes
        name = name[:-1].rstrip(" .")
    return name
