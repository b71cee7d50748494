"""GET and POST /tts_with_cached_voice: a text in a voice whose features are cached, as one WAV file."""

from __future__ import annotations

import asyncio
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from deployments.contract.errors import InvalidInput
from serve_app.audio import MEDIA_TYPES, encode_wav
from serve_app.http.routes.common import (
    Shared,
    check_text,
    named_prompt,
    sampling_of,
    speech_headers,
    while_connected,
)
from serve_app.http.schemas import CachedVoiceQuery
from serve_app.synthesis.speech import Speech
from serve_app.synthesis.stream import SpeechStream

router = APIRouter(tags=["compatibility"])

_NAMES = {"input": "text", "language": "text_lang", "speed": "speed_factor", "voice": "voice_name"}
_CONTENT = {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}


@router.get("/tts_with_cached_voice", response_class=Response, responses={200: {"content": _CONTENT}})
@router.post("/tts_with_cached_voice", response_class=Response, responses={200: {"content": _CONTENT}})
async def tts_with_cached_voice(
    query: Annotated[CachedVoiceQuery, Query()], request: Request, context: Shared
) -> Response:
    check_text(context, query.text, "text")
    voice, prompt = await while_connected(request, named_prompt(context, query.voice_name, "voice_name"))
    sampling = sampling_of(context, query.model_dump(), seed=query.seed, speed=query.speed_factor)
    language = None if query.text_lang == "auto" else query.text_lang
    stream = context.synthesizer.stream(Speech(query.text, prompt, sampling, language, whole=True))
    context.requests += 1
    context.listening += 1
    try:
        samples = await while_connected(request, _whole(stream))
    except InvalidInput as error:
        error.param = _NAMES.get(error.param or "", error.param)
        raise
    finally:
        context.listening -= 1
        stream.close()
    data = await asyncio.to_thread(encode_wav, samples, context.backend.spec.sample_rate)
    return Response(data, media_type=MEDIA_TYPES["wav"], headers=speech_headers(sampling, voice.name, stream))


async def _whole(stream: SpeechStream) -> np.ndarray:
    return np.concatenate([piece async for piece in stream])
