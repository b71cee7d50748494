"""POST /v1/audio/speech."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from serve_app.audio.encode import MEDIA_TYPES, check_rate, open_encoder
from serve_app.http import foreign
from serve_app.http.bodies import Recording, check, decoded, read_object
from serve_app.http.errors import ERROR_CODE, to_http
from serve_app.http.middleware import largest_text
from serve_app.http.routes.common import (
    Counted,
    Shared,
    SharedJobs,
    Traffic,
    charge,
    collected,
    fields_renamed,
    speech_headers,
    while_connected,
)
from serve_app.http.routes.jobs import accepted
from serve_app.http.schemas import SpeechBody, VoiceId, inlined
from serve_app.http.streaming import StreamedSpeech, encoded
from serve_app.jobs import sources
from serve_app.jobs.jobs import Jobs, Submission
from serve_app.jobs.request import Format, JobOptions
from serve_app.service import Service, SpeechRequest
from serve_app.synthesis.stream import SpeechStream
from serve_app.synthesis.times import SaidAt

log = logging.getLogger("chorale.http")
router = APIRouter(tags=["audio"])

RAW_RESPONSE = "x-stainless-raw-response"  # OpenAI's library sends "stream" here when it streams
# the format of a job's file, by `response_format`
FILES: dict[str, Format] = {
    "mp3": "mp3", "opus": "opus", "aac": "m4b", "flac": "flac", "wav": "wav", "pcm": "wav",
}  # fmt: skip

_AUDIO = {"schema": {"type": "string", "format": "binary"}}
_SCHEMA = inlined(SpeechBody)
_SCHEMA["properties"] |= foreign.schemas(_SCHEMA["properties"])
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}}
_CONTENT = dict.fromkeys(MEDIA_TYPES.values(), _AUDIO) | {"text/event-stream": {}}


@dataclass(frozen=True, slots=True)
class Asked:
    """A parsed request. recording: the `reference_audio`, if it was too large to stay in the JSON.

    names, ignored: see `foreign.Translated`.
    """

    body: SpeechBody
    recording: Recording | None
    names: Mapping[str, str]
    ignored: tuple[str, ...]


async def _read(request: Request, service: Shared) -> Asked:
    """Checks the lengths first. Raises InvalidInput and RequestValidationError."""
    fields, recording = await read_object(request, largest_text(service.settings.limits.max_input_chars))
    if isinstance(text := fields.get("input"), str):
        service.check_text(text)
    asked = foreign.translated(fields)
    with fields_renamed(asked.names):
        body = check(SpeechBody, asked.fields)
    check_rate(body.response_format, body.sample_rate)
    ignored = {*asked.ignored, *(["instructions"] if body.instructions is not None else [])}
    if body.word_timestamps is not None and body.stream_format != "sse":
        ignored.add("word_timestamps")
    return Asked(body, recording, asked.names, tuple(sorted(ignored)))


@router.post(
    "/v1/audio/speech", response_class=Response, responses={200: {"content": _CONTENT}}, openapi_extra=_BODY
)
async def create_speech(
    asked: Annotated[Asked, Depends(_read)],
    request: Request,
    service: Shared,
    traffic: Counted,
    jobs: SharedJobs,
) -> Response:
    """Speaks a text. The response starts with the first sound and continues as the rest is synthesised.

    A long text becomes a job (202, `Location`), unless the client streams: with `stream_format`, or OpenAI's library.

    `stream_format: audio` sends the file's bytes; `sse` sends OpenAI's events with the bytes in base64.
    `stream: false` sends the whole file at once. So does FLAC without `stream_format`: its header states the length.
    """
    with fields_renamed(asked.names):
        return await _speak(asked, request, service, traffic, jobs)


async def _speak(asked: Asked, request: Request, service: Service, traffic: Traffic, jobs: Jobs) -> Response:
    body, whole = asked.body, asked.body.whole
    charge(request, len(body.input))
    wanted = await _request(asked, service, request.state.request_id, whole)
    raw = request.headers.get(RAW_RESPONSE)
    if body.waits and raw != "stream" and len(body.input) > service.settings.jobs.long_text_chars:
        job = _job(wanted, body.response_format)
        return await accepted(request, jobs, await while_connected(request, jobs.submit(job)))
    spoken = await while_connected(request, service.speak(wanted))
    stream, sound = spoken.stream, spoken.stream.sound
    rate = spoken.sample_rate
    encoder = open_encoder(body.response_format, rate, rate=body.sample_rate, streamed=not whole)
    try:
        first = await while_connected(request, anext(sound))
        audio = encoded(sound, first, encoder, body.volume_multiplier)
        if whole:
            audio = await while_connected(request, collected(audio))
    except BaseException:
        stream.close()
        raise
    headers = speech_headers(spoken) | {"cache-control": "no-cache"}
    if spoken.warnings:
        headers["x-warnings"] = ", ".join(spoken.warnings)
    if asked.ignored:
        headers["x-chorale-ignored"] = ", ".join(asked.ignored)
    log.info(
        "speech %s: %d characters, voice %s, %s, first sound after %.3f s",
        stream.id, len(body.input), spoken.voice, body.response_format, time.perf_counter() - wanted.began,
    )  # fmt: skip
    media_type = encoder.media_type
    if isinstance(audio, list):
        headers["content-length"] = str(sum(map(len, audio)))
    elif body.stream_format == "sse":
        events = _events(audio, stream, request.scope["state"], bool(body.word_timestamps))
        audio, media_type = events, "text/event-stream"
    return StreamedSpeech(service, traffic, stream, audio, media_type=media_type, headers=headers)


async def _request(asked: Asked, service: Service, request_id: str, whole: bool) -> SpeechRequest:
    body, audio = asked.body, None
    if body.reference_audio is not None:  # takes precedence over a named voice
        most = service.settings.limits.max_upload_bytes
        audio = await decoded(body.reference_audio, asked.recording, most, "reference_audio")
    return SpeechRequest(
        body.input,
        body.voice.id if isinstance(body.voice, VoiceId) else body.voice,
        recording=audio,
        transcript=body.reference_text,
        model=body.model,
        language=body.language,
        seed=body.seed,
        speed=body.speed,
        max_tokens=body.max_tokens,
        controls=body.model_extra or {},
        whole=whole,
        id=request_id,
        timed=bool(body.word_timestamps) and body.stream_format == "sse",
    )


def _job(wanted: SpeechRequest, format: str) -> Submission:
    return Submission(
        sources.TEXT,
        wanted.input.encode(),
        model=wanted.model,
        voice=wanted.voice,
        recording=wanted.recording,
        transcript=wanted.transcript,
        language=wanted.language,
        seed=wanted.seed,
        speed=wanted.speed,
        max_tokens=wanted.max_tokens,
        controls=wanted.controls,
        options=JobOptions(format=FILES[format], loudness=None, subtitles=False),
    )


async def _events(
    audio: AsyncIterator[bytes], stream: SpeechStream, state: dict[str, Any], timed: bool
) -> AsyncIterator[bytes]:
    """timed: with the times of words, as soon as those of a segment are known."""
    told = 0  # words whose times were sent
    try:
        async for data in audio:
            yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})
            if timed and told < len(stream.times):
                yield _event(_words(stream.times[told:]))
                told = len(stream.times)
        if timed and told < len(stream.times):
            yield _event(_words(stream.times[told:]))
        usage = {
            "input_tokens": stream.input_tokens,
            "output_tokens": stream.output_tokens,
            "total_tokens": stream.input_tokens + stream.output_tokens,
        }
        faults = {"retries": stream.faults.retried, "cut": stream.faults.cut}
        yield _event({"type": "speech.audio.done", "usage": usage, **faults})
    except Exception as error:
        log.exception("speech %s failed after it had started", stream.id)
        http = to_http(error)
        state[ERROR_CODE] = http.code
        yield b"event: error\n" + _event({"type": "error", **http.body})


def _words(times: Sequence[SaidAt]) -> dict[str, Any]:
    words = [
        {"begin": one.begin, "end": one.end, "start_s": round(one.start, 3), "end_s": round(one.stop, 3)}
        for one in times
    ]
    return {"type": "speech.audio.words", "words": words}


def _event(data: dict) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"
