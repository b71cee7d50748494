"""The spoken segments of a job as finished files."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deployments.contract.errors import InvalidInput
from serve_app.books import audiobook, subtitles
from serve_app.books.audiobook import Contents
from serve_app.books.book import About, Book
from serve_app.books.cover import Cover, read_cover
from serve_app.books.layout import Layout, Pauses, Spoken
from serve_app.books.loudness import gain_for, measure
from serve_app.books.file_tags import chapter_tags, freeform, tags
from serve_app.books.timeline import Line, Mark
from serve_app.jobs.audio_store import AudioStore
from serve_app.jobs.models import SegmentRow
from serve_app.jobs.request import JobRequest

NAME = 80  # characters of a file's name


class SoundMissing(Exception):
    """The sound of a segment is gone. index: of the segment; sound: its digest."""

    def __init__(self, index: int, sound: str) -> None:
        super().__init__(index, sound)
        self.index, self.sound = index, sound


class Stopped(Exception):
    """The job was cancelled, or belongs to another runner."""


@dataclass(frozen=True, slots=True)
class Output:
    """A finished file. format: of its content, as its ending says."""

    name: str
    path: Path
    format: str


@dataclass(frozen=True, slots=True)
class Converted:
    """outputs: the main one first; warnings: for the user."""

    outputs: tuple[Output, ...]
    warnings: tuple[str, ...]


class Converter:
    """Writes the files of one job into `folder`. Blocks; memory does not grow with the sound.

    stop: ends the work soon after it is set, with Stopped.
    Raises SoundMissing, and OSError if the disk is full.
    """

    def __init__(
        self, request: JobRequest, book: Book, audio: AudioStore, rate: int, folder: Path, stop: threading.Event
    ) -> None:
        self._request, self._options, self._audio = request, request.options, audio
        self._rate, self._folder, self._stop = rate, folder, stop
        self.about = about_of(book, request)
        self._book = replace(book, about=self.about)
        self._warnings: list[str] = []

    def run(self, rows: Iterable[SegmentRow]) -> Converted:
        """rows: the spoken segments, in order."""
        options = self._options
        found: dict[tuple[int, tuple[int, int], int], SegmentRow] = {}
        spoken = []
        for row in rows:
            found[row.chapter, (row.begin, row.end), row.block] = row
            spoken.append(
                Spoken(row.chapter, row.block, (row.begin, row.end), row.text, row.samples, row.pause_after)
            )
        pauses = Pauses(options.paragraph_pause, options.chapter_pause)
        sounds = {key: (row.index, row.sound or "") for key, row in found.items()}
        layout = Layout(self._book, spoken, lambda one: self._sound(sounds, one), self._rate, pauses)
        gain = 1.0
        if options.loudness is not None:
            wanted = gain_for(measure(self._watched(layout.blocks()), self._rate), options.loudness)
            gain = wanted.factor
            if wanted.held_back > 0.1:
                self._warnings.append(
                    f"The book is {wanted.held_back:.1f} dB quieter than asked for, so that its peaks are not clipped."
                )
        outputs = list(self._files(layout, gain))
        return Converted(tuple(outputs), tuple(self._warnings))

    def _files(self, layout: Layout, gain: float) -> Iterator[Output]:
        options, timeline = self._options, layout.timeline
        name, cover = safe_name(self.about.title) or "audio", self._cover()
        if options.per_chapter:
            for number, mark in enumerate(timeline.marks, 1):
                about = chapter_tags(self.about, options.format, mark.title, number, len(timeline.marks))
                own = f"{number:03d} {safe_name(mark.title)}".strip()
                contents = Contents(about, freeform(self.about), (mark,), mark.begin, cover)
                yield self._audio_file(layout, gain, own, contents, mark)
                yield from self._subtitles(own, timeline.lines_of(mark), mark.begin)
            return
        contents = Contents(
            tags(self.about, options.format), freeform(self.about), timeline.marks, cover=cover
        )
        yield self._audio_file(layout, gain, name, contents, None)
        yield from self._subtitles(name, timeline.lines, 0)

    def _audio_file(
        self, layout: Layout, gain: float, name: str, contents: Contents, mark: Mark | None
    ) -> Output:
        format = self._options.format
        path = self._folder / f"{name}.{format}"
        blocks = layout.blocks(mark.begin, mark.end) if mark else layout.blocks()
        sound = (block * np.float32(gain) for block in self._watched(blocks))
        written = audiobook.write(path, format, sound, self._rate, contents)
        self._warnings += written.warnings
        return Output(path.name, path, format)

    def _subtitles(self, name: str, lines: Iterable[Line], origin: int) -> Iterator[Output]:
        if not self._options.subtitles:
            return
        lines = list(lines)
        for format, written in (("srt", subtitles.srt), ("vtt", subtitles.vtt)):
            path = self._folder / f"{name}.{format}"
            with path.open("w", encoding="utf-8") as file:
                file.writelines(written(lines, self._rate, origin))
            yield Output(path.name, path, format)

    def _cover(self) -> Cover | None:
        if self._book.cover is None:
            return None
        with contextlib.suppress(InvalidInput):
            return read_cover(self._book.cover)
        self._warnings.append("The book's cover is neither a JPEG nor a PNG file and was left out.")
        return None

    def _sound(self, sounds: dict[tuple[int, tuple[int, int], int], tuple[int, str]], one: Spoken) -> np.ndarray:
        index, digest = sounds[one.chapter, one.span, one.block]
        try:
            waveform, _ = self._audio.sound(digest)
        except FileNotFoundError:
            raise SoundMissing(index, digest) from None
        if len(waveform) != one.samples:
            raise SoundMissing(index, digest)
        return waveform

    def _watched(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            if self._stop.is_set():
                raise Stopped
            yield block


def about_of(book: Book, request: JobRequest) -> About:
    """The metadata of the finished files: the book's, where the job does not set them."""
    options, about = request.options, book.about
    return replace(
        about,
        title=options.title or about.title or Path(request.source).stem,
        authors=(options.author,) if options.author else about.authors,
        narrator=options.narrator or about.narrator or request.voice("").name,
    )


def safe_name(title: str) -> str:
    """A file's name without its ending: letters, digits, blanks and a few signs of `title`."""
    kept = "".join(c if c.isalnum() or c in " -_.,()'" else " " for c in title)
    return " ".join(kept.split())[:NAME].strip(" .")
