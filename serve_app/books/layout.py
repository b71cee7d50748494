"""The sound of a whole book: its spoken segments with silence between them, and the time of each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from serve_app.books.book import Book
from serve_app.books.timeline import Line, Mark, Timeline

FADE_S = 0.005  # at both ends of a segment, because a step from or to silence clicks
LEAD_S = 0.03  # of the quiet before a chapter's first word that is kept
FRAME_S = 0.005  # the window for the level that separates a word from the quiet before it
QUIET, HISS = (
    10 ** (-45 / 20),
    10 ** (-32 / 20),
)  # of the loudest frame: the limit for speech, and for the loudest hiss
HISS_S = (
    0.02  # at the start, in which no model speaks yet: its level is that of the hiss before the first word
)
ABOVE_HISS = 1.5  # times that level: speech begins
LASTING = 3  # frames in a row that are louder: hiss comes in shorter bursts
BLOCK_S = 1.0  # of silence in one array
AAC_FRAME = (
    1024  # samples; a chapter is a whole number of frames, because decoders play the padding of the last one
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A segment that has been spoken.

    chapter: its index in the book; block: its index in the chapter; span: in the block's text; samples: its length;
    pause_after: the silence that its text asks for, in seconds.
    """

    chapter: int
    block: int
    span: tuple[int, int]
    text: str
    samples: int
    pause_after: float


@dataclass(frozen=True, slots=True)
class Pauses:
    """The least silence in seconds after a paragraph, and between two chapters."""

    paragraph: float = 0.6
    chapter: float = 2.0


@dataclass(frozen=True, slots=True)
class _Piece:
    """begin: its position in the book; skip: samples left out at its start; sound, pause: in samples."""

    spoken: Spoken
    begin: int
    skip: int
    sound: int
    pause: int

    @property
    def end(self) -> int:
        return self.begin + self.sound + self.pause


class Layout:
    """Lays segments out, in their order, one chapter after the other.

    sound_of: returns a segment's waveform, float32 (samples,) at `rate` Hz. It is called once for the first segment of
    each chapter here, and once for each segment by each `blocks`. Only one waveform is held at a time.

    Raises ValueError if the segments are not in the book's order.
    """

    def __init__(
        self,
        book: Book,
        segments: Iterable[Spoken],
        sound_of: Callable[[Spoken], np.ndarray],
        rate: int,
        pauses: Pauses | None = None,
    ) -> None:
        self._sound_of, self._rate = sound_of, rate
        self._pieces = self._arrange([s for s in segments if s.samples], pauses or Pauses())
        self._begins = [piece.begin for piece in self._pieces]
        self.timeline = self._timeline(book)

    def blocks(self, begin: int = 0, end: int | None = None) -> Iterator[np.ndarray]:
        """The sound from sample `begin` to `end`: float32 (N,) arrays of one segment or of silence each."""
        end = self.timeline.samples if end is None else end
        index = max(0, bisect_right(self._begins, begin) - 1)
        for piece in self._pieces[index:]:
            if piece.begin >= end:
                return
            first, last = max(begin - piece.begin, 0), min(end, piece.end) - piece.begin
            if first < piece.sound:
                yield self._waveform(piece)[first:last]
            silence = last - max(first, piece.sound)
            while silence > 0:
                size = min(silence, round(BLOCK_S * self._rate))
                yield np.zeros(size, np.float32)
                silence -= size

    def _arrange(self, segments: list[Spoken], pauses: Pauses) -> list[_Piece]:
        pieces: list[_Piece] = []
        at = start = 0  # of this piece, and of its chapter
        chapter = None
        for index, spoken in enumerate(segments):
            after = segments[index + 1] if index + 1 < len(segments) else None
            if after is not None and (after.chapter, after.block) < (spoken.chapter, spoken.block):
                raise ValueError("The segments must be in the order of the book.")
            skip = 0
            if spoken.chapter != chapter:
                chapter, start, skip = spoken.chapter, at, self._lead(spoken)
            pause = round(_pause(spoken, after, pauses) * self._rate)
            if after is None or after.chapter != chapter:
                pause += -(at + spoken.samples - skip + pause - start) % AAC_FRAME
            pieces.append(_Piece(spoken, at, skip, spoken.samples - skip, pause))
            at = pieces[-1].end
        return pieces

    def _lead(self, spoken: Spoken) -> int:
        """Samples before the first word that are more than LEAD_S."""
        frame = max(1, round(FRAME_S * self._rate))
        waveform = self._read(spoken)
        whole = len(waveform) // frame * frame
        if whole < LASTING * frame:
            return 0
        levels = np.sqrt(np.square(waveform[:whole].astype(np.float64)).reshape(-1, frame).mean(1))
        hiss = ABOVE_HISS * levels[: round(HISS_S / FRAME_S)].max() / (levels.max() or 1.0)
        loud = levels > np.clip(hiss, QUIET, HISS) * levels.max()
        lasting = np.convolve(loud, np.ones(LASTING, int), "valid") == LASTING
        first = int(np.argmax(lasting)) * frame if lasting.any() else 0
        return max(0, first - round(LEAD_S * self._rate))

    def _waveform(self, piece: _Piece) -> np.ndarray:
        waveform = np.array(self._read(piece.spoken)[piece.skip :], np.float32)
        size = min(round(FADE_S * self._rate), len(waveform) // 2)
        if size:
            fade = (0.5 - 0.5 * np.cos(np.pi * (np.arange(size) + 0.5) / size)).astype(np.float32)
            waveform[:size] *= fade
            waveform[-size:] *= fade[::-1]
        return waveform

    def _read(self, spoken: Spoken) -> np.ndarray:
        waveform = self._sound_of(spoken)
        if waveform.shape != (spoken.samples,):
            message = f"A segment of {spoken.samples} samples has a waveform of shape {waveform.shape}."
            raise ValueError(message)
        return waveform

    def _timeline(self, book: Book) -> Timeline:
        lines = tuple(
            Line(s.chapter, s.block, s.span, s.text, piece.begin, piece.begin + piece.sound)
            for piece in self._pieces
            for s in [piece.spoken]
        )
        samples = self._pieces[-1].end if self._pieces else 0
        begins: dict[int, int] = {}
        for line in lines:
            begins.setdefault(line.chapter, line.begin)
        ends = [*begins.values(), samples][1:]
        marks = tuple(
            Mark(chapter, title_of(book, chapter), begin, end)
            for (chapter, begin), end in zip(begins.items(), ends, strict=True)
        )
        return Timeline(self._rate, marks, lines, samples)


def title_of(book: Book, chapter: int) -> str:
    """The title of a chapter on one line. A chapter without one is called by its number."""
    return " ".join(book.chapters[chapter].title.split()) or f"Chapter {chapter + 1}"


def _pause(spoken: Spoken, after: Spoken | None, pauses: Pauses) -> float:
    """Seconds of silence between two segments. The book ends with its last segment."""
    if after is None:
        return 0.0
    if after.chapter != spoken.chapter:
        return max(spoken.pause_after, pauses.chapter)
    if after.block != spoken.block:
        return max(spoken.pause_after, pauses.paragraph)
    return spoken.pause_after
