"""One request from text to sound: segments in parallel, pieces in order, all cancelled if nobody listens."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import numpy as np

from deployments.contract.errors import SynthesisFailed
from deployments.contract.speech import Segment
from deployments.engine.vocode.schedule import ChunkSchedule
from serve_app.audio.tempo import Tempo
from serve_app.synthesis.backend import Backend
from serve_app.synthesis.segment import Lane
from serve_app.synthesis.speech import Faults, Speech
from serve_app.synthesis.text_flow import TextFlow


class Synthesizer:
    """Turns `Speech` into streams of sound on a backend.

    window: segments of one request that are worked on at once; chunks: the sizes of vocoder calls.
    """

    def __init__(self, backend: Backend, *, window: int = 3, chunks: ChunkSchedule | None = None) -> None:
        self.backend = backend
        self.window = window
        self.chunks = chunks or ChunkSchedule()
        self.faults = Faults()
        self._cancelling: set[asyncio.Task[None]] = set()

    def stream(self, speech: Speech) -> SpeechStream:
        return SpeechStream(self, speech)

    def cancel(self, work_ids: list[str]) -> None:
        """Tells the backend in the background: the caller may itself be in the middle of being cancelled."""
        for work_id in work_ids:
            task = asyncio.ensure_future(self.backend.cancel(work_id))
            self._cancelling.add(task)
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._cancelling.discard(task)
        if not task.cancelled():
            task.exception()  # a stage that is gone holds nothing that could be cancelled


class SpeechStream:
    """Pieces of waveform in order: float32 (N,) at the family's rate. `close()` at any time, even twice."""

    def __init__(self, synthesizer: Synthesizer, speech: Speech) -> None:
        self.id = uuid.uuid4().hex
        self.input_tokens = 0
        self.output_tokens = 0
        self.seconds = 0.0  # of sound so far
        self.faults = Faults(of_all=synthesizer.faults)  # so far
        self._synthesizer = synthesizer
        asked, (slowest, fastest) = speech.sampling, synthesizer.backend.spec.paces
        pace = min(max(asked.speed, slowest), fastest)
        self._speech = replace(speech, sampling=replace(asked, speed=pace))
        self._tempo = asked.speed / pace  # of the finished sound
        self._text: TextFlow | None = None
        self._lanes: deque[Lane] = deque()
        self._opened = 0  # lanes so far
        self._pieces = self._paced()

    def __aiter__(self) -> SpeechStream:
        return self

    async def __anext__(self) -> np.ndarray:
        piece = await self._pieces.__anext__()
        self.seconds += len(piece) / self._synthesizer.backend.spec.sample_rate
        return piece

    def close(self) -> None:
        work_ids = [work_id for lane in self._lanes for work_id in lane.work_ids]
        for lane in self._lanes:
            lane.task.cancel()
        self._lanes.clear()
        if self._text is not None:
            self._text.close()
        self._synthesizer.cancel(work_ids)

    async def aclose(self) -> None:
        self.close()
        await self._pieces.aclose()

    async def _paced(self) -> AsyncGenerator[np.ndarray, None]:
        rate = self._synthesizer.backend.spec.sample_rate
        tempo = None if self._tempo == 1 else Tempo(rate, self._tempo)
        async with aclosing(self._spoken()) as pieces:
            async for piece in pieces:
                paced = piece if tempo is None else await asyncio.to_thread(tempo.process, piece)
                if len(paced):
                    yield paced
        if tempo is not None and len(tail := tempo.finish()):
            yield tail

    async def _spoken(self) -> AsyncGenerator[np.ndarray, None]:
        """The pieces as the models make them."""
        synthesizer, speech = self._synthesizer, self._speech
        rate = synthesizer.backend.spec.sample_rate
        text = self._text = TextFlow(synthesizer.backend, speech.text, speech.language)
        spoken = 0  # samples
        try:
            self._open(await text.next())  # alone until it sounds: early, and nothing else to undo if refused
            while self._lanes:
                lane = self._lanes[0]
                while (piece := await lane.next()) is not None:
                    self._fill_window(text)
                    spoken += len(piece)
                    yield piece
                self.output_tokens += lane.codes
                self._lanes.popleft()
                self._fill_window(text)
                if not self._lanes:
                    self._open(await text.next())
                pause = round(lane.segment.pause_after / speech.sampling.speed * rate)
                if self._lanes and spoken and pause:
                    yield np.zeros(pause, np.float32)
            if not spoken:
                raise SynthesisFailed("The model made no sound for this text.")
        finally:
            self.close()

    def _fill_window(self, text: TextFlow) -> None:
        while len(self._lanes) < self._synthesizer.window and (segment := text.ready()) is not None:
            self._open(segment)

    def _open(self, segment: Segment | None) -> None:
        if segment is not None:
            self.input_tokens += len(segment.token_ids)
            made = self._synthesizer
            work_id = f"{self.id}.{self._opened}"
            self._lanes.append(
                Lane(made.backend, made.chunks, self.faults, self._speech, work_id, self._opened, segment)
            )
            self._opened += 1
