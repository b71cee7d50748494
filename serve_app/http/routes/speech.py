"""POST /v1/audio/speech."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from deployments.contract.errors import InvalidInput
from deployments.contract.speech import VoicePrompt
from serve_app.audio import MEDIA_TYPES, Encoder, open_encoder
from serve_app.context import Context
from serve_app.http.bodies import Recording, check, decoded, read_object
from serve_app.http.delivery import Listener, no_faster_than
from serve_app.http.errors import to_http
from serve_app.http.middleware import largest_text
from serve_app.http.routes.common import (
    Shared,
    check_model,
    check_text,
    named_prompt,
    sampling_of,
    speech_headers,
    while_connected,
)
from serve_app.http.schemas import SpeechBody, inlined
from serve_app.synthesis.speech import Speech
from serve_app.synthesis.stream import SpeechStream

log = logging.getLogger("chorale.http")
router = APIRouter(tags=["audio"])

_AUDIO = {"schema": {"type": "string", "format": "binary"}}
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": inlined(SpeechBody)}}}}
_CONTENT = dict.fromkeys(MEDIA_TYPES.values(), _AUDIO) | {"text/event-stream": {"schema": {"type": "string"}}}


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """`recording`: what the body's `reference_audio` stands for, where it was too large to stay in the JSON."""

    body: SpeechBody
    recording: Recording | None


async def _read(request: Request, context: Shared) -> SpeechRequest:
    """Raises InvalidInput and RequestValidationError. What is long is measured before anything else looks at it."""
    fields, recording = await read_object(request, largest_text(context.settings.limits.max_input_chars))
    if isinstance(text := fields.get("input"), str):
        check_text(context, text, "input")
    return SpeechRequest(check(SpeechBody, fields), recording)


@router.post(
    "/v1/audio/speech", response_class=Response, responses={200: {"content": _CONTENT}}, openapi_extra=_BODY
)
async def create_speech(
    asked: Annotated[SpeechRequest, Depends(_read)], request: Request, context: Shared
) -> Response:
    """Speaks a text. The answer starts with the first sound and grows as the rest is made.

    `stream_format: audio` sends the file's bytes, `sse` OpenAI's events with the bytes in base64.
    Without `stream_format` FLAC alone comes whole, since its header tells the length.
    """
    body = asked.body
    check_model(context, body.model)
    began = time.perf_counter()
    voice, prompt, warnings = await while_connected(request, _prompt(context, asked))
    sampling = sampling_of(context, body.model_dump(), seed=body.seed, speed=body.speed)
    events = body.stream_format == "sse"
    streamed = events or "stream_format" in body.model_fields_set
    whole = body.response_format == "flac" and not streamed  # its header tells the length
    stream = context.synthesizer.stream(Speech(body.input, prompt, sampling, body.language, whole=whole))
    encoder = open_encoder(body.response_format, context.backend.spec.sample_rate, streamed=streamed)
    try:
        first = await while_connected(request, anext(stream))
        audio = _encoded(stream, first, encoder)
        if whole:
            audio = _made(await while_connected(request, _all(audio)))
    except BaseException:
        stream.close()
        raise
    headers = speech_headers(sampling, voice, stream) | {"cache-control": "no-cache"}
    if warnings:
        headers["x-warnings"] = ", ".join(warnings)
    log.info(
        "speech %s: %d characters, voice %s, %s, first sound after %.3f s",
        request.state.request_id, len(body.input), voice, body.response_format, time.perf_counter() - began,
    )  # fmt: skip
    return _Streamed(
        context,
        stream,
        _events(audio, stream, request.state.request_id) if events else audio,
        made=whole,
        media_type="text/event-stream" if events else encoder.media_type,
        headers=headers,
    )


class _Streamed(StreamingResponse):
    """A body made of a speech stream, no faster than its client reads; it is closed whatever ends the response."""

    def __init__(
        self,
        context: Context,
        stream: SpeechStream,
        body: AsyncIterator[bytes],
        *,
        made: bool,
        **options: Any,
    ) -> None:
        super().__init__(body, **options)
        self._body, self._made = body, made
        self._context = context
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._context.requests += 1
        self._context.listening += 1
        listener = Listener(scope)
        if not self._made:
            self.body_iterator = no_faster_than(listener, self._body, lambda: self._stream.seconds)
        try:
            await super().__call__(scope, listener.listens_to(receive), send)
        finally:
            self._context.listening -= 1
            self._stream.close()


async def _encoded(stream: SpeechStream, first: np.ndarray, encoder: Encoder) -> AsyncIterator[bytes]:
    piece: np.ndarray | None = first
    while piece is not None:
        data = await asyncio.to_thread(encoder.encode, piece)
        if data:
            yield data
        piece = await anext(stream, None)
    tail = await asyncio.to_thread(encoder.finish)
    if tail:
        yield tail


async def _all(audio: AsyncIterator[bytes]) -> list[bytes]:
    return [data async for data in audio]


async def _made(audio: list[bytes]) -> AsyncIterator[bytes]:
    for data in audio:
        yield data


async def _events(audio: AsyncIterator[bytes], stream: SpeechStream, request_id: str) -> AsyncIterator[bytes]:
    try:
        async for data in audio:
            yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})
        usage = {
            "input_tokens": stream.input_tokens,
            "output_tokens": stream.output_tokens,
            "total_tokens": stream.input_tokens + stream.output_tokens,
        }
        faults = {"retries": stream.faults.retried, "cut": stream.faults.cut}
        yield _event({"type": "speech.audio.done", "usage": usage, **faults})
    except Exception as error:
        log.exception("speech %s failed after it had started", request_id)
        yield b"event: error\n" + _event({"type": "error", **to_http(error).body})


def _event(data: dict) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


async def _prompt(context: Context, asked: SpeechRequest) -> tuple[str, VoicePrompt, tuple[str, ...]]:
    """The voice's name, its prompt, and what is wrong with a recording that came with the request.

    A reference in the request goes before a named voice.
    """
    body = asked.body
    if body.reference_audio is not None:
        most = context.settings.limits.max_upload_bytes
        audio = await decoded(body.reference_audio, asked.recording, most, "reference_audio")
        examined = await context.prompts.of(
            audio, body.reference_text, context.read_stranger, param="reference_audio"
        )
        return "reference_audio", examined.prompt, examined.warnings
    if body.voice is None:
        raise InvalidInput(
            "Missing required field 'voice' (or 'reference_audio').",
            param="voice",
            code="missing_required_parameter",
        )
    name = body.voice if isinstance(body.voice, str) else body.voice.id
    voice, prompt = await named_prompt(context, name, "voice")
    return voice.name, prompt, ()
