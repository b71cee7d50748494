"""GET and POST /tts_with_cached_voice: speaks a text in a stored voice, as one WAV file."""

from __future__ import annotations

import asyncio
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from deployments.contract.controls import parsed
from serve_app.audio.encode import MEDIA_TYPES, encode_wav
from serve_app.http import foreign
from serve_app.http.routes.common import (
    Counted,
    Shared,
    charge,
    collected,
    fields_renamed,
    speech_headers,
    while_connected,
)
from serve_app.http.schemas import CachedVoiceQuery
from serve_app.service import SpeechRequest

router = APIRouter(tags=["compatibility"])

_NAMES = {"input": "text", "language": "text_lang", "speed": "speed_factor", "voice": "voice_name"}
_CONTENT = {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}


@router.get("/tts_with_cached_voice", response_class=Response, responses={200: {"content": _CONTENT}})
@router.post("/tts_with_cached_voice", response_class=Response, responses={200: {"content": _CONTENT}})
async def tts_with_cached_voice(
    query: Annotated[CachedVoiceQuery, Query()], request: Request, service: Shared, traffic: Counted
) -> Response:
    model = await service.models.get(None)
    asked = SpeechRequest(
        query.text,
        query.voice_name,
        language=foreign.language(query.text_lang),
        seed=query.seed,
        speed=query.speed_factor,
        controls=parsed(model.spec.controls, query.model_extra or {}),
        whole=True,
        id=request.state.request_id,
    )
    with fields_renamed(_NAMES):
        service.check_text(query.text, wait=True)
        charge(request, len(query.text))
        spoken = await while_connected(request, service.speak(asked))
        traffic.requests += 1
        traffic.listening += 1
        try:
            waveforms = await while_connected(request, collected(spoken.stream.sound))
        finally:
            traffic.listening -= 1
            spoken.stream.close()
    data = await asyncio.to_thread(encode_wav, np.concatenate(waveforms), spoken.sample_rate)
    return Response(data, media_type=MEDIA_TYPES["wav"], headers=speech_headers(spoken))
