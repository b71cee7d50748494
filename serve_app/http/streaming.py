"""A response that streams speech while it is synthesised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from deployments.contract.telemetry import STREAMS
from serve_app.audio.encode import Encoder
from serve_app.http.delivery import Listener, no_faster_than
from serve_app.http.routes.common import Traffic
from serve_app.service import Service
from serve_app.synthesis.stream import SpeechStream


class StreamedSpeech(StreamingResponse):
    """Streams a body no faster than the client reads it. Closes the speech stream however the response ends."""

    def __init__(
        self,
        service: Service,
        traffic: Traffic,
        stream: SpeechStream,
        body: AsyncIterator[bytes] | list[bytes],
        **options: Any,
    ) -> None:
        super().__init__(body, **options)
        self._service = service
        self._traffic, self._stream, self._body = traffic, stream, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._traffic.requests += 1
        self._listening(1)
        listener = Listener(scope)
        if not isinstance(self._body, list):  # it is still being synthesised
            self.body_iterator = no_faster_than(listener, self._body, lambda: self._stream.seconds)
        try:
            await super().__call__(scope, listener.listens_to(receive), send)
        finally:
            self._listening(-1)
            self._stream.close()

    def _listening(self, more: int) -> None:
        self._traffic.listening += more
        self._service.recorder.record(STREAMS, self._traffic.listening)


async def encoded(
    sound: AsyncIterator[np.ndarray], first: np.ndarray, encoder: Encoder, volume: float
) -> AsyncIterator[bytes]:
    """The file's bytes. first: the sound that was taken from `sound` already. volume: a factor."""
    waveform: np.ndarray | None = first
    while waveform is not None:
        if data := await asyncio.to_thread(encoder.encode, waveform * volume):
            yield data
        waveform = await anext(sound, None)
    if tail := await asyncio.to_thread(encoder.finish):
        yield tail
