"""Gets the sounds of a job's segments from the audio store, or speaks and stores them."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from deployments.contract.errors import Overloaded
from serve_app.books.pronunciations import Pronunciations
from serve_app.jobs.access import Access
from serve_app.jobs.audio_store import AudioStore
from serve_app.jobs.models import SegmentRow
from serve_app.jobs.request import JobRequest
from serve_app.models import Model
from serve_app.service import Service, Spoken
from serve_app.synthesis.speech import SegmentDone, Sound


class Sounds:
    """respelled: the pronunciations of the job; unrecorded: digests of stored sounds that belong to no segment yet."""

    def __init__(self, service: Service, audio: AudioStore, access: Access, request: JobRequest) -> None:
        self._service, self._audio, self._access, self._request = service, audio, access, request
        self._recordings: dict[str, bytes] = {}
        self.respelled = Pronunciations(request.options.pronunciations)
        self.unrecorded: set[str] = set()

    async def of(self, row: SegmentRow, model: Model) -> dict[str, Any]:
        """The columns `sound` and `samples` of a segment, and its faults if it was spoken now.

        Raises what `Service.speak` and its stream raise, and Pause if the disk is full.
        """
        text = self.respelled.respelled(row.text).text
        digest = self._request.sound(text, row.voice, row.seed, model.options, model.weights)
        samples = await self._access.files(self._audio.samples, digest)
        if samples is not None:
            return {"sound": digest, "samples": samples}
        waveform, faults = await self._spoken(row, text)
        self.unrecorded.add(digest)
        await self._access.files(self._audio.put_sound, digest, waveform, model.spec.sample_rate)
        return {"sound": digest, "samples": len(waveform), **faults}

    async def _spoken(self, row: SegmentRow, text: str) -> tuple[np.ndarray, dict[str, bool]]:
        """float32 (N,), and the faults."""
        key = self._request.voice(row.voice).recording
        if key not in self._recordings:
            self._recordings[key] = await self._access.files(self._audio.get, key)
        request = self._request.speech(text, row.voice, self._recordings[key], row.seed)
        while True:
            try:
                return await _whole(await self._service.speak(request))
            except Overloaded as error:
                await asyncio.sleep(error.retry_after)


async def _whole(spoken: Spoken) -> tuple[np.ndarray, dict[str, bool]]:
    """All sound of a stream, and whether a part of it was retried or cut."""
    waveforms, retried, cut = [], False, False
    try:
        async for event in spoken.stream:
            if isinstance(event, Sound):
                waveforms.append(event.waveform)
            elif isinstance(event, SegmentDone):
                retried, cut = retried or event.retried, cut or event.cut
    finally:
        spoken.stream.close()
    return np.concatenate(waveforms), {"retried": retried, "cut": cut}
