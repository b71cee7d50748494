"""One request from text to sound: segments in parallel, pieces in order, all cancelled if nobody listens."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np

from deployments.engine.chunks import Piece
from deployments.engine.schedule import ChunkSchedule
from deployments.errors import SynthesisFailed
from deployments.families.base import (
    FamilySpec,
    GptRequest,
    Run,
    Sampling,
    Segment,
    VocodedChunk,
    VocoderChunk,
    VoicePrompt,
)
from serve_app.audio.tempo import Tempo
from serve_app.text_flow import TextFlow

PIECES_AHEAD = 4  # of one segment: what a slow listener has not fetched yet


class Backend(Protocol):
    """The stages, wherever they run. Every method raises only `ChoraleError`s."""

    spec: FamilySpec

    async def segments(self, text: str, language: str | None) -> list[Segment]: ...

    async def check_text(self, text: str, language: str | None) -> None:
        """Raises what `segments` would, wherever in a long text it is."""
        ...

    async def encode_voice(self, waveform: np.ndarray, rate: int, transcript: str | None) -> VoicePrompt:
        """waveform: float32 (N,) mono at `rate` Hz."""
        ...

    def generate(self, request: GptRequest, *, id: str, priority: int, admitted: bool) -> AsyncIterator[Run]:
        """Closing it cancels.

        Not `admitted`: Overloaded where the queue is full.
        """
        ...

    async def vocode(self, chunk: VocoderChunk, *, id: str, priority: int) -> VocodedChunk: ...

    async def cancel(self, id: str) -> None:
        """Unknown ids are ignored."""
        ...

    async def status(self) -> dict:
        """At least {"ready": bool, "device": {...}, "stages": {...}}; never raises."""
        ...

    async def free(self) -> list[dict[str, Any]]:
        """Gives back what no work needs, in every process behind this; tells for each what it held and holds.

        A process: {"stage": str, "pid": int, "before": {...}, "after": {...}}, as `deployments.engine.memory.free`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Speech:
    """What is to be said. `priority`: 0 for a listener who waits, 10 for work in the background."""

    text: str
    prompt: VoicePrompt
    sampling: Sampling
    language: str | None = None
    priority: int = 0


class Synthesizer:
    """Turns `Speech` into streams of sound on a backend.

    window: segments of one request that are worked on at once; chunks: the sizes of vocoder calls.
    """

    def __init__(self, backend: Backend, *, window: int = 3, chunks: ChunkSchedule | None = None) -> None:
        self.backend = backend
        self.window = window
        self.chunks = chunks or ChunkSchedule()
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
        self._synthesizer = synthesizer
        self._speech = speech
        self._text: TextFlow | None = None
        self._lanes: deque[_Lane] = deque()
        self._opened = 0  # lanes so far
        self._pieces = self._paced()

    def __aiter__(self) -> SpeechStream:
        return self

    async def __anext__(self) -> np.ndarray:
        return await self._pieces.__anext__()

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
        spec, speed = self._synthesizer.backend.spec, self._speech.sampling.speed
        tempo = None if spec.keeps_pace or speed == 1 else Tempo(spec.sample_rate, speed)
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
        spec = synthesizer.backend.spec
        pace = speech.sampling.speed if spec.keeps_pace else 1.0
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
                pause = round(lane.segment.pause_after / pace * spec.sample_rate)
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
            self._lanes.append(
                _Lane(self._synthesizer, self._speech, f"{self.id}.{self._opened}", self._opened, segment)
            )
            self._opened += 1


class _Lane:
    """One segment on its way: codes stream in, are vocoded chunk after chunk and wait in a short queue."""

    def __init__(
        self, synthesizer: Synthesizer, speech: Speech, work_id: str, index: int, segment: Segment
    ) -> None:
        self.segment = segment
        self.codes = 0
        self.work_ids = [work_id]  # the GPT's, then that of the chunk in the vocoder
        self._backend = synthesizer.backend
        self._chunker = synthesizer.chunks.chunker(self._backend.spec)
        self._sampling = replace(speech.sampling, seed=segment_seed(speech.sampling.seed, index))
        self._request = GptRequest(segment, speech.prompt, self._sampling)
        self._priority = speech.priority
        self._index = index
        self._state = None
        self._chunks = 0
        self._pieces: asyncio.Queue[np.ndarray | BaseException | None] = asyncio.Queue(PIECES_AHEAD)
        self.task = asyncio.ensure_future(self._run(work_id))

    async def next(self) -> np.ndarray | None:
        """The next piece, None at the end. Raises what went wrong."""
        piece = await self._pieces.get()
        if isinstance(piece, BaseException):
            raise piece
        return piece

    async def _run(self, work_id: str) -> None:
        try:
            later = self._index > 0
            priority = self._priority + later
            runs = self._backend.generate(self._request, id=work_id, priority=priority, admitted=later)
            async with aclosing(cast("AsyncGenerator[Run, None]", runs)):
                async for run in runs:
                    self.codes += len(run)
                    for piece in self._chunker.push(run.spoken):
                        await self._vocode(piece, work_id)
            for piece in self._chunker.finish():
                await self._vocode(piece, work_id)
            self.work_ids = []
        except Exception as error:
            await self._pieces.put(error)
        else:
            await self._pieces.put(None)

    async def _vocode(self, piece: Piece, work_id: str) -> None:
        chunk = VocoderChunk(
            frames=piece.frames,
            left=piece.left,
            right=piece.right,
            first=piece.first,
            prompt=self._request.prompt,
            seed=self._sampling.seed,
            state=self._state,
        )
        chunk_id = f"{work_id}.{self._chunks}"
        self.work_ids = [work_id, chunk_id]
        priority = self._priority + (self._index > 0 or self._chunks > 0)  # the first sound goes first
        self._chunks += 1
        vocoded = await self._backend.vocode(chunk, id=chunk_id, priority=priority)
        self.work_ids = [work_id]
        if not np.isfinite(vocoded.waveform).all():
            raise SynthesisFailed("The vocoder returned samples that are not finite.")
        self._state = vocoded.state
        await self._pieces.put(vocoded.waveform)


def segment_seed(seed: int, index: int) -> int:
    """A seed of its own for every segment, 0 <= s < 2**63: neighbours do not share their draws."""
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
