"""Writes a book's sound as files. Memory is constant: a stream of float32 blocks in, a file out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import numpy as np
import soxr
from av.container import OutputContainer
from av.stream import Disposition, Stream

from deployments.contract.errors import InvalidInput
from serve_app.audio.encode import OPUS_RATES, RATES, Codec, add_stream, frame_of
from serve_app.books import atoms
from serve_app.books.cover import Cover
from serve_app.books.timeline import Mark

if TYPE_CHECKING:
    from av.container.core import Chapter  # only for type checkers

FORMATS = {
    "m4b": Codec("mp4", "aac", "fltp", 64_000, {}, {"brand": "M4B ", "movflags": "+faststart"}),
    "mp3": Codec("mp3", "libmp3lame", "fltp", 64_000, {}, {"id3v2_version": "3"}),
    "opus": Codec("ogg", "libopus", "flt", 48_000, {"application": "audio"}, {}),
    "flac": Codec("flac", "flac", "s16", None, {}, {}),
    "wav": Codec("wav", "pcm_s16le", "s16", None, {}, {"rf64": "auto"}),
}
BIT_RATES = {"m4b": (24_000, 256_000), "mp3": (24_000, 160_000), "opus": (12_000, 256_000)}  # in bit/s
WITH_CHAPTERS = ("m4b", "mp3", "opus", "flac")
WITH_COVER = ("m4b", "mp3", "flac")  # as a stream; Ogg has it as a comment
NERO_CHAPTERS = ID3_CHAPTERS = 255  # in one table: its counter has 8 bits
TITLE_BYTES = 255  # of a chapter in Nero's table
BLOCK = 1 << 16  # samples encoded at once


@dataclass(frozen=True, slots=True)
class Contents:
    """The content of a file apart from its sound.

    tags: under FFmpeg's names; freeform: values for which MP4 has no atom; marks: chapters at `rate` Hz of the sound,
    the first sample of the file is `origin`.
    """

    tags: Mapping[str, str]
    freeform: Mapping[str, str]
    marks: Sequence[Mark] = ()
    origin: int = 0
    cover: Cover | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """seconds: of sound; warnings: for the user."""

    seconds: float
    warnings: tuple[str, ...] = ()


def check(format: str, bit_rate: int | None = None) -> None:
    """Raises InvalidInput (param "format" or "bit_rate") for what `write` cannot do."""
    if format not in FORMATS:
        raise InvalidInput(f"Invalid 'format': must be one of {', '.join(FORMATS)}.", param="format")
    if bit_rate is None:
        return
    if format not in BIT_RATES:
        raise InvalidInput(f"Invalid 'bit_rate': {format} has no bit rate.", param="bit_rate")
    low, high = BIT_RATES[format]
    if not low <= bit_rate <= high:
        raise InvalidInput(
            f"Invalid 'bit_rate': must be {low} to {high} bit/s for {format}.", param="bit_rate"
        )


def write(
    path: Path,
    format: str,
    sound: Iterable[np.ndarray],
    rate: int,
    contents: Contents,
    bit_rate: int | None = None,
) -> Written:
    """Writes one file. It appears under its name when it is complete.

    sound: float32 (N,) blocks at `rate` Hz, with their final level. The file keeps the rate if its format has it.

    Raises InvalidInput (as `check`), and ValueError for no sound at all.
    """
    check(format, bit_rate)
    warnings = []
    if format == "m4b" and len(contents.marks) > NERO_CHAPTERS:
        warnings.append(
            f"The file has {len(contents.marks)} chapters. Players that read Nero's table of chapters show the first "
            f"{NERO_CHAPTERS} of them."
        )
    if format == "mp3" and len(contents.marks) > ID3_CHAPTERS:
        warnings.append(
            f"The book has {len(contents.marks)} chapters. An MP3 file marks at most {ID3_CHAPTERS}, the first ones."
        )
        contents = replace(contents, marks=contents.marks[:ID3_CHAPTERS])
    with completed(path) as draft:
        samples = _Writer(draft, format, rate, contents, bit_rate).write(sound)
        if format == "m4b" and contents.freeform:
            with completed(draft) as second:
                atoms.add_freeform(draft, second, contents.freeform)
    return Written(samples / rate, tuple(warnings))


@contextmanager
def completed(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`. The file written there replaces `path`, or is removed after an error."""
    draft = path.with_name(f".{path.name}.part")
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


class _Writer:
    def __init__(self, path: Path, format: str, rate: int, contents: Contents, bit_rate: int | None) -> None:
        self._path, self._codec, self._contents = path, FORMATS[format], contents
        self._source_rate, self._rate = rate, file_rate(format, rate)
        self._with_chapters, self._with_cover = format in WITH_CHAPTERS, format in WITH_COVER
        self._bit_rate = bit_rate or self._codec.bit_rate
        self._position = 0  # in the file, in samples

    def write(self, sound: Iterable[np.ndarray]) -> int:
        """Returns the samples written, at the rate of the source."""
        options = self._codec.container_options
        container = av.open(self._path, "w", format=self._codec.container, options=options)
        with cast(OutputContainer, container) as container:
            stream = add_stream(container, self._codec, self._rate, self._bit_rate)
            self._describe(container)
            taken = 0
            for block in self._resampled(_bounded(sound)):
                taken += len(block)
                frame = frame_of(block, self._codec.sample_format, self._rate, self._position)
                self._position += len(block)
                container.mux(stream.encode(frame))
            if not taken:
                raise ValueError("There is no sound to write.")
            container.mux(stream.encode(None))
        return round(taken * self._source_rate / self._rate)

    def _describe(self, container: OutputContainer) -> None:
        contents, cover = self._contents, self._contents.cover
        container.metadata.update(contents.tags)
        if self._with_chapters:
            chapters = _chapters(contents, self._source_rate)
            if self._codec.container in ("ogg", "flac"):
                # FFmpeg's FLAC muxer ignores chapters; its Ogg muxer puts those past a half second one second late
                container.metadata.update(_chapter_comments(chapters))
            else:
                container.set_chapters(chapters)
        if cover is None:
            return
        if self._with_cover:
            self._attach(container, cover)
        elif self._codec.container == "ogg":
            container.metadata["METADATA_BLOCK_PICTURE"] = cover.flac_block

    def _attach(self, container: OutputContainer, cover: Cover) -> None:
        stream: Stream = container.add_mux_stream(cover.codec, width=cover.width, height=cover.height)
        stream.disposition = Disposition.attached_pic
        stream.metadata["comment"] = "Cover (front)"  # the kind of picture in ID3 and FLAC
        packet = av.Packet(cover.data)
        packet.stream = stream
        packet.pts = packet.dts = 0
        packet.is_keyframe = True
        container.start_encoding()
        container.mux(packet)

    def _resampled(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        if self._source_rate == self._rate:
            yield from blocks
            return
        resampler = soxr.ResampleStream(self._source_rate, self._rate, 1, dtype="float32", quality="HQ")
        for block in blocks:
            yield from _present(resampler.resample_chunk(block))
        yield from _present(resampler.resample_chunk(np.zeros(0, np.float32), last=True))


def file_rate(format: str, rate: int) -> int:
    """The rate in Hz of a file whose sound has `rate`: the same, or the next one above that the format has."""
    allowed = OPUS_RATES if format == "opus" else RATES
    return min((r for r in allowed if r >= rate), default=allowed[-1])


def _bounded(sound: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for samples in sound:
        for start in range(0, len(samples), BLOCK):
            yield np.ascontiguousarray(samples[start : start + BLOCK], np.float32)


def _present(block: np.ndarray) -> Iterator[np.ndarray]:
    if len(block):
        yield block


def _chapters(contents: Contents, rate: int) -> list[Chapter]:
    """In milliseconds, the unit of all these containers. Chapters have no gap between them."""

    def ms(sample: int) -> int:
        return round(1000 * (sample - contents.origin) / rate)

    return [
        {
            "id": number,
            "start": ms(mark.begin),
            "end": ms(mark.end),
            "time_base": Fraction(1, 1000),
            "metadata": {"title": _short(mark.title)},
        }
        for number, mark in enumerate(contents.marks, 1)
    ]


def _chapter_comments(chapters: Sequence[Chapter]) -> dict[str, str]:
    """The Vorbis comments that hold chapters in Ogg and FLAC."""
    comments = {}
    for number, chapter in enumerate(chapters):
        seconds, ms = divmod(chapter["start"], 1000)
        time = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"
        comments |= {f"CHAPTER{number:03}": time, f"CHAPTER{number:03}NAME": chapter["metadata"]["title"]}
    return comments


def _short(title: str) -> str:
    return title.encode()[:TITLE_BYTES].decode(errors="ignore")
