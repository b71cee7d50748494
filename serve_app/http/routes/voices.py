"""GET, POST and DELETE /v1/audio/voices."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError
from starlette.datastructures import UploadFile

from deployments.contract.errors import InvalidInput
from serve_app.audio.examine import WARNINGS
from serve_app.http.bodies import read_form
from serve_app.http.errors import too_large
from serve_app.http.routes.common import Shared
from serve_app.http.schemas import StrictModel, VoiceCard, VoiceDeleted, VoiceList, VoiceName
from serve_app.service import Service
from serve_app.voices.library import Voice

router = APIRouter(tags=["voices"])


class VoiceForm(StrictModel):
    """The form of POST /v1/audio/voices. consent: free text, stored with the voice."""

    name: str
    type: Literal["audio_sample"] = "audio_sample"
    consent: str | None = Field(None, max_length=2000)
    transcript: str | None = Field(None, max_length=2000)
    language: str | None = Field(None, max_length=32)
    description: str | None = Field(None, max_length=500)


_SCHEMA: dict[str, Any] = VoiceForm.model_json_schema()
_SCHEMA["properties"]["audio_sample"] = {"type": "string", "format": "binary"}
_SCHEMA["required"] = ["name", "audio_sample"]
_SHORT = set(VoiceName.model_fields)
_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _SCHEMA}}}}


@router.get("/v1/audio/voices")
async def list_voices(service: Shared) -> VoiceList:
    voices = await asyncio.to_thread(service.voices.list)
    cards = [_card(service, voice) for voice in voices]
    return VoiceList(data=cards, voices=[VoiceName(**card.model_dump(include=_SHORT)) for card in cards])


@router.get("/v1/audio/voices/{voice_id}")
async def get_voice(voice_id: str, service: Shared) -> VoiceCard:
    return _card(service, await asyncio.to_thread(service.voices.get, voice_id, "voice_id"))


@router.post("/v1/audio/voices", openapi_extra=_BODY)
async def create_voice(request: Request, service: Shared) -> VoiceCard:
    """Adds a voice. Its prompt is computed now, so that an unusable recording is rejected here."""
    async with read_form(request, max_files=1, max_fields=12, max_part_size=64 * 1024) as form:
        sample = form.get("audio_sample")
        fields = {name: value for name, value in form.multi_items() if name != "audio_sample"}
        try:
            parsed = VoiceForm.model_validate(fields)
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from None
        audio = await _uploaded(sample, service.settings.limits.max_upload_bytes)
    about = {key: value for key, value in parsed.model_dump(exclude={"name", "type"}).items() if value}
    return _card(service, await service.add_voice(parsed.name.strip(" "), audio, **about))


@router.delete("/v1/audio/voices/{voice_id}")
async def delete_voice(voice_id: str, service: Shared) -> VoiceDeleted:
    """Deletes a voice: its recording, and its prompts on disk and in every process that is not busy."""
    return VoiceDeleted(id=await service.delete_voice(voice_id))


async def _uploaded(sample: object, most: int) -> bytes:
    param = "audio_sample"
    if sample is None:
        message = f"Missing required field '{param}'."
        raise InvalidInput(message, param=param, code="missing_required_parameter")
    if not isinstance(sample, UploadFile):
        raise InvalidInput(f"Invalid '{param}': must be an uploaded file.", param=param, code="invalid_type")
    audio = await sample.read(most + 1)
    if len(audio) > most:
        raise too_large(most, param)
    return audio


def _card(service: Service, voice: Voice) -> VoiceCard:
    warnings = [f"{name}: {WARNINGS[name]}" for name in voice.warnings if name in WARNINGS]
    about = voice.model_dump() | {"aliases": service.voices.aliases_of(voice), "warnings": warnings}
    return VoiceCard.model_validate(about)
