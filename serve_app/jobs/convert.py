"""Turns the spoken segments of a job into finished files."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deployments.contract.errors import InvalidInput, SynthesisFailed
from serve_app.books.book import Book
from serve_app.books.layout import Layout, Pauses, Spoken
from serve_app.jobs.audio_store import AudioStore
from serve_app.jobs.models import SegmentRow
from serve_app.jobs.outputs import Output, Outputs, gain_of, write_outputs
from serve_app.jobs.request import JobOptions

HELD_BACK = 0.1  # decibels: a smaller shortfall is inaudible


class SoundMissing(Exception):
    """The sound of a segment is missing. index: of the segment; sound: its digest."""

    def __init__(self, index: int, sound: str) -> None:
        super().__init__(index, sound)
        self.index, self.sound = index, sound


class Stopped(Exception):
    """The job was cancelled, or belongs to another runner."""


@dataclass(frozen=True, slots=True)
class Converted:
    """outputs: the main one first; warnings: for the user."""

    outputs: tuple[Output, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Sound(Spoken):
    """index: of the segment in the job; digest: of its sound."""

    index: int = 0
    digest: str = ""


def outputs_of(options: JobOptions, epub: bytes | None = None) -> Outputs:
    """epub: what the book was read from, for a read-along."""
    return Outputs(
        options.format,
        options.per_chapter,
        None,
        options.loudness,
        options.subtitles,
        epub if options.read_along else None,
    )


def convert(
    book: Book,
    data: bytes,
    options: JobOptions,
    rows: Iterable[SegmentRow],
    audio: AudioStore,
    rate: int,
    folder: Path,
    stop: threading.Event,
) -> Converted:
    """Writes the files of a job into `folder`. Blocks; the sound is never in memory as a whole.

    data: the file that the book was read from; rows: the spoken segments, in order; rate: of their sound, in Hz; stop:
    ends the work soon after it is set, with Stopped.
    Raises SoundMissing, OSError if the disk is full, and Overloaded and Unavailable while no book can be read.
    """

    def sound(spoken: Spoken) -> np.ndarray:
        if stop.is_set():
            raise Stopped
        assert isinstance(spoken, _Sound)
        try:
            waveform, _ = audio.sound(spoken.digest)
        except FileNotFoundError:
            raise SoundMissing(spoken.index, spoken.digest) from None
        if len(waveform) != spoken.samples:
            raise SoundMissing(spoken.index, spoken.digest)
        return waveform

    segments = [
        _Sound(
            row.chapter,
            row.block,
            (row.begin, row.end),
            row.text,
            row.samples,
            row.pause_after,
            row.index,
            row.sound or "",
        )
        for row in rows
    ]
    layout = Layout(book, segments, sound, rate, Pauses(options.paragraph_pause, options.chapter_pause))
    gain = gain_of(layout, options.loudness)
    warnings = []
    if gain.held_back > HELD_BACK:
        quieter = f"{gain.held_back:.1f} dB quieter than requested"
        warnings.append(f"The book is {quieter}, because its peaks would otherwise be clipped.")
    outputs: list[Output] = []
    try:
        outputs.extend(write_outputs(folder, book, layout, outputs_of(options, data), gain))
    except (
        InvalidInput,
        SynthesisFailed,
    ) as error:  # the sound is complete, and worth more than its read-along
        if not (options.read_along and outputs):
            raise
        warnings.append(f"The read-along could not be written. {error.message}")
    warnings += [warning for output in outputs for warning in output.warnings]
    return Converted(tuple(outputs), tuple(warnings))


def titled(book: Book, title: str, options: JobOptions, narrator: str) -> Book:
    """The book with the metadata of the finished files. title: used if neither the job nor the book has one."""
    about = book.about
    return replace(
        book,
        about=replace(
            about,
            title=options.title or about.title or title,
            authors=(options.author,) if options.author else about.authors,
            narrator=options.narrator or about.narrator or narrator,
        ),
    )
