"""One segment of a request, from codes to sound."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import cast

import numpy as np

from deployments.contract.errors import StateLost, SynthesisFailed
from deployments.contract.speech import GptRequest, Run, Segment, VocodedChunk, VocoderChunk
from deployments.engine.vocode.chunks import Piece
from deployments.engine.vocode.schedule import ChunkSchedule
from serve_app.synthesis.backend import Backend
from serve_app.synthesis.room import Room
from serve_app.synthesis.sanity import Implausible, Watch
from serve_app.synthesis.speech import Faults, Speech

PIECES_AHEAD = 4  # of one segment, that a slow listener has not fetched yet
AGAIN = 1_000_000  # above any segment's index, so that a second try draws its own random numbers

log = logging.getLogger("chorale.synthesis")


class SegmentStream:
    """One segment in progress: codes stream in, are vocoded chunk by chunk, and the sound waits in a short queue.

    If the codes cannot be speech, the segment is retried with another seed, or cut off if part of it was already sent.
    pace: the speed of the vocoder.
    """

    def __init__(
        self,
        backend: Backend,
        chunks: ChunkSchedule,
        faults: Faults,
        room: Room,
        speech: Speech,
        index: int,
        segment: Segment,
        pace: float = 1.0,
    ) -> None:
        self.segment, self.index = segment, index
        self._pace, self._timed = pace, speech.timed
        self.retried = self.cut = False
        self._backend, self._schedule, self._faults, self._room = backend, chunks, faults, room
        self._sampling = replace(speech.sampling, seed=segment_seed(speech.sampling.seed, index))
        self._prompt, self._priority = speech.prompt, speech.priority
        self._heard = False
        self._settled = asyncio.Event()  # pieces may be sent
        if not speech.whole:
            self._settled.set()
        ahead = 0 if speech.whole else PIECES_AHEAD
        self._pieces: asyncio.Queue[np.ndarray | Exception | None] = asyncio.Queue(ahead)
        work_id = f"{speech.id}.{index}"
        self._begin(work_id)
        self.task = asyncio.ensure_future(self._run(work_id))

    def _begin(self, work_id: str) -> None:
        """Starts at the segment's first code, at a retry too."""
        self.codes = self._chunks = 0
        self.work_ids = [work_id]  # the GPT's, then the current chunk's in the vocoder
        self._chunker = self._schedule.chunker(self._backend.spec, self._pace)
        self._state = None
        self._home = uuid.uuid4().hex if self._backend.spec.state_home == "replica" else None
        self._frames: list[np.ndarray] = []  # all of them, if the state may have to be computed again
        self._ends: list[int] = []  # frames behind each chunk so far
        self._vocoded: list[VocodedChunk] = []  # their attention alone, without sound and state
        while not self._pieces.empty():
            self._pieces.get_nowait()

    def stop(self) -> None:
        self.task.cancel()

    async def next(self) -> np.ndarray | None:
        """The next piece of sound, None at the end. Raises the error of the segment, if any."""
        await self._settled.wait()
        piece = await self._pieces.get()
        self._heard = True
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def _run(self, work_id: str) -> None:
        try:
            await self._speak_plausibly(work_id)
            self._settled.set()
            for piece in self._chunker.finish():
                await self._vocode(piece, work_id)
            self.work_ids = []
            await self._pieces.put(None)
        except Exception as error:
            await self._pieces.put(error)
        finally:
            self._settled.set()

    async def _speak_plausibly(self, work_id: str) -> None:
        for attempt in (work_id, f"{work_id}.again"):
            try:
                await self._speak(attempt)
                return
            except Implausible as fault:
                if self.retried or self._heard or self._sampling.greedy:  # no seed would help
                    log.warning("segment %s is cut off: %s", work_id, fault)
                    self.cut = True
                    self._faults.add(cut=1)
                    return
                log.warning("segment %s is retried with another seed: %s", work_id, fault)
            self.retried = True
            self._faults.add(retried=1)
            self._sampling = replace(self._sampling, seed=segment_seed(self._sampling.seed, AGAIN))
            self._begin(f"{work_id}.again")

    async def _speak(self, work_id: str) -> None:
        """Vocodes the chunks that the codes complete; the rest stays in the chunker. Raises Implausible."""
        watch = Watch(self._backend.spec, self.segment, self._sampling)
        request = GptRequest(self.segment, self._prompt, self._sampling)
        later = self.index > 0
        admitted, priority = later or self.retried, self._priority + later
        runs = self._backend.generate(request, id=work_id, priority=priority, admitted=admitted)
        try:
            async with aclosing(cast("AsyncGenerator[Run, None]", runs)):
                async for run in runs:
                    self.codes += len(run)
                    watch.take(run)
                    if self._home is not None:
                        self._frames.append(run.spoken)
                    for piece in self._chunker.push(run.spoken):
                        await self._vocode(piece, work_id)
        finally:
            if self.codes:
                self._room.ended()
        watch.finish()

    async def _vocode(self, piece: Piece, work_id: str) -> None:
        chunk = VocoderChunk(
            frames=piece.frames,
            left=piece.left,
            right=piece.right,
            first=piece.first,
            prompt=self._prompt,
            seed=self._sampling.seed,
            state=self._state,
            conditions=self.segment.conditions,
            controls=self._sampling.controls,
            speed=self._pace,
            timed=self._timed,
            home=self._home,
        )
        chunk_id = f"{work_id}.{self._chunks}"
        self.work_ids = [work_id, chunk_id]
        priority = self._priority + (self.index > 0 or self._chunks > 0)  # the first sound has priority
        self._chunks += 1
        try:
            vocoded = await self._backend.vocode(chunk, id=chunk_id, priority=priority)
        except StateLost:
            vocoded = await self._from_the_start(chunk, chunk_id, priority)
        self.work_ids = [work_id]
        if not np.isfinite(vocoded.waveform).all():
            raise SynthesisFailed("The vocoder returned samples that are not finite.")
        self._state = None if self._home else vocoded.state
        self._ends.append(chunk.first + len(chunk.frames) - chunk.right)
        self._vocoded.append(VocodedChunk(vocoded.waveform[:0], {}, vocoded.attention))
        await self._pieces.put(vocoded.waveform)

    @property
    def attention(self) -> np.ndarray | None:
        """Of the sound so far, as `VocodedChunk` has it."""
        return VocodedChunk.joined(self._vocoded).attention if self._vocoded else None

    async def _from_the_start(self, chunk: VocoderChunk, chunk_id: str, priority: int) -> VocodedChunk:
        """Vocodes the segment again up to the end of `chunk`, because the replica with its state is lost or busy."""
        end = chunk.first + len(chunk.frames)
        frames, ends = np.concatenate(self._frames)[:end], tuple(self._ends)
        again = replace(chunk, frames=frames, left=0, first=0, cuts=ends)
        self.work_ids = [*self.work_ids, f"{chunk_id}.again"]
        vocoded = await self._backend.vocode(again, id=f"{chunk_id}.again", priority=priority)
        count = len(chunk.frames) - chunk.left - chunk.right
        waveform, seen = vocoded.waveform[-count * self._backend.spec.samples_per_code :], vocoded.attention
        if seen is not None:
            seen = seen[-(len(seen) * count // (end - chunk.right)) :]
        return replace(vocoded, waveform=waveform, attention=seen)


class SilentSegment:
    """A `SegmentStream` of a segment without tokens: its sound is its pause."""

    codes, retried, cut = 0, False, False
    attention: np.ndarray | None = None
    work_ids: tuple[str, ...] = ()

    def __init__(self, index: int, segment: Segment, samples: int) -> None:
        self.index, self.segment = index, segment
        self._sound: np.ndarray | None = np.zeros(samples, np.float32)

    def stop(self) -> None:
        self._sound = None

    async def next(self) -> np.ndarray | None:
        sound, self._sound = self._sound, None
        return sound


def segment_seed(seed: int, index: int) -> int:
    """A separate seed for each segment, 0 <= s < 2**63, so that segments do not share random numbers."""
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
