"""The segments of a text on demand: the frontend processes the next piece when the last one is nearly spoken."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from deployments.contract.controls import Value
from deployments.contract.errors import InvalidInput
from deployments.contract.speech import Segment
from serve_app.synthesis.backend import Backend

FIRST_PIECE, PIECE = 600, 1200  # characters, about
TRIES = 8  # places to cut, before the piece grows
AHEAD = 8  # segments that wait to be spoken
SILENT = ("nothing_to_speak", "empty_input")  # error codes that do not concern the whole text
SILENCE = 0.1  # seconds, for a text with nothing to speak: clients cut replies at punctuation

_SENTENCE_END = re.compile(r"""[.!?…]["'”’)\]]*\s+|[。！？][”’」』）]*\s*|\n[ \t]*\n\s*""")


class TextFlow:
    """The segments of a text in order, equal to those of the whole text; only a few of them exist at a time.

    The text is processed in pieces that end with a sentence. A cut is valid if the frontend returns the same segments
    for both sides separately as for both together. Without a valid cut the piece grows, if necessary to the whole
    text. A piece without anything to speak is skipped. Errors in the text are raised before any of it is spoken. Needs
    a running event loop, and `close()` at the end.

    controls: those that the frontend reads (`FamilySpec.of_text`).
    """

    def __init__(
        self,
        reader: Backend,
        text: str,
        language: str | None = None,
        controls: Mapping[str, Value] | None = None,
    ) -> None:
        self._reader, self._text, self._language = reader, text, language
        self._controls = {"controls": controls} if controls else {}  # not every reader takes them
        self._refusal: InvalidInput | None = None
        self.is_silence = False  # known with the first segment
        self._queue: asyncio.Queue[Segment | Exception | None] = asyncio.Queue(AHEAD)  # None: the end
        self._ended, self._error = False, None
        self._task = asyncio.ensure_future(self._read())

    def ready(self) -> Segment | None:
        """The next segment, if it is already available."""
        return None if self._ended or self._queue.empty() else self._taken(self._queue.get_nowait())

    async def next(self) -> Segment | None:
        """None after the last. Raises the frontend's error after the segments before it; a silent text is `SILENCE`."""
        segment = None if self._ended else self._taken(await self._queue.get())
        if self._error is not None:
            raise self._error
        return segment

    def close(self) -> None:
        self._task.cancel()

    def _taken(self, item: Segment | Exception | None) -> Segment | None:
        if isinstance(item, Segment):
            return item
        self._ended, self._error = True, item
        return None

    async def _read(self) -> None:
        spoken = False
        try:
            async for start, segments in self._pieces():
                for segment in segments:
                    spoken = True
                    span = segment.span and (
                        segment.span[0] + start,
                        segment.span[1] + start,
                    )  # in the whole text
                    await self._queue.put(replace(segment, span=span))
            if not spoken and self._text.strip():
                self.is_silence = spoken = True
                await self._queue.put(Segment(self._text.strip(), np.zeros(0, np.int64), SILENCE))
            await self._queue.put(None if spoken else self._refusal)
        except Exception as error:
            await self._queue.put(error)

    async def _pieces(self) -> AsyncGenerator[tuple[int, list[Segment]]]:
        """Where each piece begins in the text, and its segments."""
        start, size = 0, FIRST_PIECE
        if self._sentence_end(size) < len(self._text):
            try:
                await self._reader.check_text(self._text, self._language)
            except InvalidInput as error:
                if error.code not in SILENT:
                    raise
        while True:
            end = self._sentence_end(start + size)
            segments = await self._said(start, end)
            if end == len(self._text):
                yield start, segments
                return
            if (cut := await self._cut(start, end, segments)) is None:
                size *= 2
                continue
            yield start, segments[: cut[1]]
            start, size = cut[0], PIECE

    async def _cut(self, start: int, end: int, together: Sequence[Segment]) -> tuple[int, int] | None:
        """The last valid cut in the second half of start..end, and the number of segments before it."""
        ends = [match.end() for match in _SENTENCE_END.finditer(self._text, (start + end) // 2, end)]
        for cut in [place for place in reversed(ends) if place < end][:TRIES]:
            before, after = await self._said(start, cut), await self._said(cut, end)
            apart = [segment.token_ids.tolist() for segment in (*before, *after)]
            if apart == [segment.token_ids.tolist() for segment in together]:
                return cut, len(before)
        return None

    async def _said(self, start: int, end: int) -> list[Segment]:
        try:
            return await self._reader.segments(self._text[start:end], self._language, **self._controls)
        except InvalidInput as error:
            if error.code not in SILENT:
                raise
            self._refusal = self._refusal or error
            return []

    def _sentence_end(self, at: int) -> int:
        """The end of the first sentence that ends at `at` or later, or of the text if little remains."""
        found = _SENTENCE_END.search(self._text, min(at, len(self._text)))
        end = len(self._text) if found is None else found.end()
        return end if len(self._text) - end > PIECE // 2 else len(self._text)
