"""One request from text to sound: segments in parallel, sound in order, everything cancelled when the client leaves."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import numpy as np

from deployments.contract.errors import Overloaded, SynthesisFailed
from deployments.contract.speech import Segment
from deployments.contract.work import BACKGROUND
from deployments.engine.vocode.schedule import ChunkSchedule
from serve_app.audio.tempo import Tempo
from serve_app.synthesis.backend import Backend
from serve_app.synthesis.meter import Meter
from serve_app.synthesis.room import RejectedBefore, Room
from serve_app.synthesis.segment import SegmentStream, SilentSegment
from serve_app.synthesis.speech import Faults, SegmentBegan, SegmentDone, Sound, Speech, SpeechEvent
from serve_app.synthesis.text_flow import TextFlow
from serve_app.synthesis.times import SaidAt, said_at


class Synthesizer:
    """Speaks on a backend. window: segments of a request in progress at once; chunks: the sizes of vocoder calls."""

    def __init__(self, backend: Backend, *, window: int = 3, chunks: ChunkSchedule | None = None) -> None:
        self.backend, self.window, self.chunks = backend, window, chunks or ChunkSchedule()
        self.faults = Faults()
        self.room = Room()
        self._cancelling: set[asyncio.Future[Any]] = set()

    def stream(self, speech: Speech, meter: Meter | None = None) -> SpeechStream:
        return SpeechStream(self, speech, meter or Meter())

    def cancel(self, work_ids: Collection[str]) -> None:
        """In the background, because the caller may itself be in the middle of being cancelled."""
        if work_ids:  # a lost stage holds nothing to cancel
            calls = asyncio.gather(*map(self.backend.cancel, work_ids), return_exceptions=True)
            self._cancelling.add(calls)
            calls.add_done_callback(self._cancelling.discard)


class SpeechStream:
    """The events of a request: for each segment, SegmentBegan, its Sound events, and SegmentDone.

    `close()` may be called at any time, more than once.
    """

    def __init__(self, synthesizer: Synthesizer, speech: Speech, meter: Meter) -> None:
        self.id = speech.id
        self.input_tokens = self.output_tokens = 0
        self.seconds = self.waited_s = 0.0  # of sound so far, and of waiting for it
        self.times: list[SaidAt] = []  # of the segments that are done
        self._meter = meter
        self.faults = Faults(of_all=synthesizer.faults)  # so far
        self._synthesizer = synthesizer
        asked, (slowest, fastest) = speech.sampling, synthesizer.backend.spec.paces
        pace = min(max(asked.speed, slowest), fastest)
        work_id = f"{speech.id}.{secrets.token_hex(4)}"  # a client may give two requests one id
        self._speech = replace(speech, sampling=replace(asked, speed=pace), id=work_id)
        slowest, fastest = synthesizer.backend.spec.vocoder_paces
        self._pace = min(max(asked.speed / pace, slowest), fastest)  # of the vocoder
        self._tempo = asked.speed / pace / self._pace  # of the finished sound
        self._text: TextFlow | None = None
        # the one being sent, and the next ones
        self._segments: deque[SegmentStream | SilentSegment] = deque()
        self._opened = 0  # segments so far
        self._events = self._paced()

    def __aiter__(self) -> SpeechStream:
        return self

    async def __anext__(self) -> SpeechEvent:
        asked = time.perf_counter()
        event = await self._events.__anext__()
        now = time.perf_counter()
        self.waited_s += now - asked
        if isinstance(event, Sound):
            if not self.seconds:
                self._meter.first_sound(self._speech, now - self._speech.began)
            self.seconds += len(event.waveform) / self._synthesizer.backend.spec.sample_rate
        return event

    @property
    async def sound(self) -> AsyncGenerator[np.ndarray]:
        """The sound alone: the waveform of each Sound event."""
        async for event in self:
            if isinstance(event, Sound):
                yield event.waveform

    @property
    def is_silence(self) -> bool:
        """True if the text had nothing to speak. Known from the first event on."""
        return self._text is not None and self._text.is_silence

    def close(self) -> None:
        for segment in self._segments:
            segment.stop()
            self._synthesizer.cancel(segment.work_ids)
        self._segments.clear()
        if self._text is not None:
            self._text.close()

    async def aclose(self) -> None:
        self.close()
        await self._events.aclose()

    async def _paced(self) -> AsyncGenerator[SpeechEvent, None]:
        """The events at the requested tempo."""
        tempo = Tempo(self._synthesizer.backend.spec.sample_rate, self._tempo) if self._tempo != 1 else None
        try:
            async with aclosing(self._spoken()) as events:
                async for event in events:
                    if tempo is not None and isinstance(event, Sound):
                        event = Sound(await asyncio.to_thread(tempo.process, event.waveform))
                        if not len(event.waveform):
                            continue
                    yield event
            if tempo is not None and len(tail := tempo.finish()):
                yield Sound(tail)
        except Overloaded as error:
            if self._speech.priority < BACKGROUND and not isinstance(error, RejectedBefore):
                self._synthesizer.room.rejected(error)
            raise
        finally:
            self._meter.ended(self._speech, self)

    async def _spoken(self) -> AsyncGenerator[SpeechEvent, None]:
        """The events before any change of tempo."""
        synthesizer, speech = self._synthesizer, self._speech
        controls = synthesizer.backend.spec.of_text(speech.sampling.controls)
        text = self._text = TextFlow(synthesizer.backend, speech.text, speech.language, controls)
        sent = 0  # samples
        try:
            first = await text.next()
            synthesizer.room.enter(speech.priority)  # others may have been rejected meanwhile
            self._open(first)  # alone until it sounds: early, and a refusal undoes little
            while self._segments:
                segment, began, begin = self._segments[0], False, sent
                while (waveform := await segment.next()) is not None:
                    self._fill_window(text)
                    sent += len(waveform)
                    if not began:
                        began = True
                        yield SegmentBegan(segment.index, segment.segment.text, segment.segment.span)
                    if len(waveform):  # a short chunk of fast speech may have none
                        yield Sound(waveform)
                self.output_tokens += segment.codes
                self._segments.popleft()
                self._fill_window(text)
                if not self._segments:
                    self._open(await text.next())
                yield await self._done(segment, begin, sent)
                pause = self._pause(segment.segment)
                if self._segments and sent and pause and isinstance(segment, SegmentStream):
                    sent += pause
                    yield Sound(np.zeros(pause, np.float32))
            if not sent:
                raise SynthesisFailed("The model produced no sound for this text.")
        finally:
            self.close()

    async def _done(self, segment: SegmentStream | SilentSegment, begin: int, end: int) -> SegmentDone:
        """begin, end: samples before any change of tempo."""
        rate = self._synthesizer.backend.spec.sample_rate * self._tempo
        seconds, offset = (end - begin) / rate, begin / rate
        times: tuple[SaidAt, ...] = ()
        if self._speech.timed:  # takes milliseconds for each second of sound
            seen = segment.segment, segment.attention, seconds, offset, segment.cut
            times = await asyncio.to_thread(said_at, *seen)
            self.times += times
        return SegmentDone(segment.index, segment.codes, segment.retried, segment.cut, times)

    def _fill_window(self, text: TextFlow) -> None:
        while len(self._segments) < self._synthesizer.window and (segment := text.ready()) is not None:
            self._open(segment)

    def _pause(self, segment: Segment) -> int:
        """Samples of silence after the segment."""
        seconds = segment.pause_after / (self._speech.sampling.speed * self._pace)
        return round(seconds * self._synthesizer.backend.spec.sample_rate)

    def _open(self, segment: Segment | None) -> None:
        if segment is None:
            return
        index, self._opened = self._opened, self._opened + 1
        self.input_tokens += len(segment.token_ids)
        if len(segment.token_ids):
            backend, chunks = self._synthesizer.backend, self._synthesizer.chunks
            shared = backend, chunks, self.faults, self._synthesizer.room
            opened = SegmentStream(*shared, self._speech, index, segment, self._pace)
        else:
            opened = SilentSegment(index, segment, self._pause(segment))
        self._segments.append(opened)
