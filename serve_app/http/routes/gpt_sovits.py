"""GPT-SoVITS's own HTTP interface, that of its api_v2: GET and POST /tts, and the calls that change its state.

A recording is a voice of the library, never a file that the client names, and models come from the configuration. So
what would open a path or replace a model is answered as published where it changes nothing, else refused. Errors have
the published keys `message` and `Exception` beside the `error` of the other routes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse, Response

from deployments.contract.errors import ChoraleError, InvalidInput, NotFound
from serve_app.audio.encode import OPUS_RATES, RATES, open_encoder
from serve_app.http import foreign
from serve_app.http.bodies import check, read_object
from serve_app.http.errors import to_http
from serve_app.http.gpt_sovits_schemas import FORMATS, REQUIRED, TtsFields, check_values
from serve_app.http.middleware import largest_text
from serve_app.http.routes.common import (
    Counted,
    Shared,
    Traffic,
    charge,
    collected,
    fields_renamed,
    speech_headers,
    while_connected,
)
from serve_app.http.schemas import inlined
from serve_app.http.streaming import StreamedSpeech, encoded
from serve_app.models import Model
from serve_app.service import Service, SpeechRequest
from serve_app.voices.library import Voice

log = logging.getLogger("chorale.http")
router = APIRouter(tags=["compatibility"])

FAMILY = "gpt_sovits"
SUCCESS = {"message": "success"}

_NAMES = {
    "input": "text", "language": "text_lang", "speed": "speed_factor", "voice": "ref_audio_path",
    "reference_audio": "ref_audio_path", "reference_text": "prompt_text",
    "timbres": "aux_ref_audio_paths",
}  # fmt: skip
_SCHEMA = inlined(TtsFields)
_QUERY = [
    {"name": name, "in": "query", "required": name in REQUIRED, "schema": schema}
    for name, schema in _SCHEMA["properties"].items()
]
_BODY = {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}
_AUDIO = {"schema": {"type": "string", "format": "binary"}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {f"audio/{media_type}": _AUDIO for media_type in FORMATS}}
}


@router.get("/tts", response_class=Response, responses=_ANSWERS, openapi_extra={"parameters": _QUERY})
async def get_tts(request: Request, service: Shared, traffic: Counted) -> Response:
    """Speaks a text in a voice of the library, which `ref_audio_path` names."""
    given = {name: value for name, value in request.query_params.items() if value}
    return await _answer(given, request, service, traffic)


@router.post("/tts", response_class=Response, responses=_ANSWERS, openapi_extra={"requestBody": _BODY})
async def post_tts(request: Request, service: Shared, traffic: Counted) -> Response:
    """As GET, with the fields in a JSON object."""
    try:
        fields, _ = await read_object(request, largest_text(service.settings.limits.max_input_chars))
    except InvalidInput as error:
        return _refused(request, error)
    return await _answer(fields, request, service, traffic)


@router.get("/set_gpt_weights")
async def set_gpt_weights(request: Request, service: Shared) -> Response:
    return _weights(request, service, "gpt")


@router.get("/set_sovits_weights")
async def set_sovits_weights(request: Request, service: Shared) -> Response:
    return _weights(request, service, "sovits")


@router.get("/set_refer_audio")
async def set_refer_audio(request: Request, service: Shared) -> Response:
    """Checks that a voice exists. It is not kept: each request for speech names its own."""
    try:
        if not (path := request.query_params.get("refer_audio_path")):
            raise InvalidInput("refer_audio_path is required", param="refer_audio_path")
        await _voice(service, path, "refer_audio_path")
    except ChoraleError as error:
        return _refused(request, error, "set refer audio failed")
    return JSONResponse(SUCCESS)


@router.get("/control")
async def control(request: Request) -> Response:
    command = request.query_params.get("command")
    reason = "command is required"
    if command:
        reason = "the server is not restarted or ended by its clients"
    return _refused(request, InvalidInput(reason, param="command"))


async def _answer(
    fields: Mapping[str, Any], request: Request, service: Service, traffic: Traffic
) -> Response:
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        check_values(given)
        asked = check(TtsFields, given)
        model = await _model(service, asked)
        _check_languages(asked, model)
    except (ChoraleError, RequestValidationError) as error:
        return _refused(request, error)
    try:
        with fields_renamed(_NAMES):
            return await _speak(asked, model, request, service, traffic)
    except ChoraleError as error:
        return _refused(request, error, "tts failed")


async def _speak(
    asked: TtsFields, model: Model, request: Request, service: Service, traffic: Traffic
) -> Response:
    charge(request, len(asked.text))
    whole, format = not asked.streaming_mode, FORMATS[asked.media_type]
    service.check_text(asked.text, wait=whole)
    wanted, ignored = await _request(asked, model, service, request.state.request_id)
    spoken = await while_connected(request, service.speak(wanted))
    stream, sound = spoken.stream, spoken.stream.sound
    allowed = OPUS_RATES if format == "opus" else RATES
    rate = spoken.sample_rate if spoken.sample_rate in allowed else allowed[-1]
    encoder = open_encoder(format, spoken.sample_rate, rate=rate, streamed=not whole)
    try:
        first = await while_connected(request, anext(sound))
        audio = encoded(sound, first, encoder, 1.0)
        if whole:
            audio = await while_connected(request, collected(audio))
    except BaseException:
        stream.close()
        raise
    headers = speech_headers(spoken) | {"cache-control": "no-cache", "x-sample-rate": str(rate)}
    if isinstance(audio, list):
        headers["content-length"] = str(sum(map(len, audio)))
    if ignored:
        headers["x-chorale-ignored"] = ", ".join(ignored)
    return StreamedSpeech(
        service, traffic, stream, audio, media_type=f"audio/{asked.media_type}", headers=headers
    )


async def _request(
    asked: TtsFields, model: Model, service: Service, request_id: str
) -> tuple[SpeechRequest, list[str]]:
    """The request in our terms, and the controls that the model does not have."""
    known = {control.name for control in model.spec.controls if control.scope == "request"}
    if asked.super_sampling and not model.spec.super_resolution:
        reason = f"Invalid 'super_sampling': {model.name} has no super-resolution."
        raise InvalidInput(reason, param="super_sampling")
    voice = await _voice(service, asked.ref_audio_path, "ref_audio_path")
    timbres = [await _voice(service, path, "aux_ref_audio_paths") for path in asked.aux_ref_audio_paths]
    prompt = asked.prompt_text.strip()
    recording = None
    if (
        prompt and prompt != (voice.transcript or "").strip()
    ):  # what the client says is heard in the recording
        recording = await asyncio.to_thread(service.voices.read, voice)
    wanted = SpeechRequest(
        asked.text,
        voice.id,
        recording=recording,
        transcript=prompt or None,
        recording_language=_language(asked.prompt_lang, model),
        model=model.name,
        language=_language(asked.text_lang, model),
        seed=asked.seed if asked.seed >= 0 else None,
        speed=asked.speed_factor,
        controls={name: value for name, value in asked.controls.items() if name in known},
        whole=not asked.streaming_mode,
        id=request_id,
        timbres=[voice.id for voice in timbres],
    )
    return wanted, sorted(asked.controls.keys() - known)


async def _model(service: Service, asked: TtsFields) -> Model:
    """The model that the request names, else the first of the family, else the default one."""
    own = (model for model in service.models.by_rank() if model.spec.name == FAMILY)
    if asked.model is None and (found := next(own, None)) is not None:
        return found
    return await service.models.get(asked.model)


def _check_languages(asked: TtsFields, model: Model) -> None:
    spoken = model.spec.languages
    allowed = ["auto", *spoken, *(["all_zh"] if "zh" in spoken else [])]
    for name in ("text_lang", "prompt_lang"):
        if (language := getattr(asked, name).strip().lower()) not in allowed:
            reason = f"{name}: {language} is not supported by {model.name}; allowed: {', '.join(allowed)}"
            raise InvalidInput(reason, param=name, code="unsupported_language")


def _language(asked: str, model: Model) -> str | None:
    """all_zh, where numbers are always Chinese, is known to the family itself alone."""
    named = foreign.language(asked.strip().lower())
    return named if named is None or model.spec.name == FAMILY else named.removeprefix("all_")


async def _voice(service: Service, path: str, param: str) -> Voice:
    """The voice of that name, or of the name of that file, which is not opened. Raises InvalidInput."""
    for name in dict.fromkeys((path, PureWindowsPath(path).stem)):
        try:
            return await asyncio.to_thread(service.voices.get, name, param)
        except NotFound:
            continue
    reason = f"Invalid '{param}': it must name a voice (see GET /v1/audio/voices); files are not opened."
    raise InvalidInput(reason, param=param)


def _weights(request: Request, service: Service, kind: str) -> Response:
    """Success if the configuration of a model names that file, because nothing has to change."""
    path = request.query_params.get("weights_path")
    if not path:
        return _refused(request, InvalidInput(f"{kind} weight path is required", param="weights_path"))
    named = [
        str(model.options.family.options.get(kind, ""))
        for model in service.models
        if model.spec.name == FAMILY
    ]
    if PureWindowsPath(path).name in {PureWindowsPath(file).name for file in named}:
        return JSONResponse(SUCCESS)
    reason = "models come from the server's configuration, and no model there has this file"
    return _refused(request, InvalidInput(reason, param="weights_path"), f"change {kind} weight failed")


def _refused(request: Request, error: Exception, summary: str | None = None) -> JSONResponse:
    """summary: the published message, with the reason under `Exception`; None: the reason is the message."""
    http = to_http(error)
    if http.status >= 500:
        log.error("%s %s failed: %s", request.method, request.scope["path"], http.message, exc_info=error)
    body = {"message": http.message} if summary is None else {"message": summary, "Exception": http.message}
    return JSONResponse(body | http.body, http.status, dict(http.headers))
