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
from serve_app.bodies import read_form
from serve_app.context import Context
from serve_app.errors import BodyTooLarge
from serve_app.routes.common import Shared, reference_prompt
from serve_app.schemas import StrictModel, VoiceCard, VoiceDeleted, VoiceList
from serve_app.voices import Voice

router = APIRouter(tags=["voices"])


class VoiceForm(StrictModel):
    """POST /v1/audio/voices, multipart. `consent`: free text, kept with the voice."""

    name: str
    type: Literal["audio_sample"] = "audio_sample"
    consent: str | None = Field(None, max_length=2000)
    transcript: str | None = Field(None, max_length=2000)
    language: str | None = Field(None, max_length=32)
    description: str | None = Field(None, max_length=500)


_SCHEMA: dict[str, Any] = VoiceForm.model_json_schema()
_SCHEMA["properties"]["audio_sample"] = {"type": "string", "format": "binary"}
_SCHEMA["required"] = ["name", "audio_sample"]
_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _SCHEMA}}}}


@router.get("/v1/audio/voices")
async def list_voices(context: Shared) -> VoiceList:
    voices = await asyncio.to_thread(context.voices.list)
    return VoiceList(data=[_card(context, voice) for voice in voices])


@router.get("/v1/audio/voices/{voice_id}")
async def get_voice(voice_id: str, context: Shared) -> VoiceCard:
    return _card(context, await asyncio.to_thread(context.voices.get, voice_id, "voice_id"))


@router.post("/v1/audio/voices", openapi_extra=_BODY)
async def create_voice(request: Request, context: Shared) -> VoiceCard:
    """A new voice. Its features are made at once, so that a recording that cannot serve is refused here."""
    async with read_form(request, max_files=1, max_fields=12, max_part_size=64 * 1024) as form:
        sample = form.get("audio_sample")
        fields = {name: value for name, value in form.multi_items() if name != "audio_sample"}
        try:
            parsed = VoiceForm.model_validate(fields)
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from None
        audio = await _uploaded(sample, context.settings.max_upload_bytes)
    fields = parsed.model_dump(exclude={"name", "type"})
    given: dict[str, Any] = {key: value for key, value in fields.items() if value}
    name, library = parsed.name.strip(), context.voices
    await asyncio.to_thread(library.check_name, name)
    recording = await asyncio.to_thread(library.normalise, audio)
    transcript = parsed.transcript or None
    _, given["warnings"] = await reference_prompt(context, recording, transcript, "audio_sample")
    return _card(context, await asyncio.to_thread(lambda: library.add(name, recording, **given)))


@router.delete("/v1/audio/voices/{voice_id}")
async def delete_voice(voice_id: str, context: Shared) -> VoiceDeleted:
    voice = await asyncio.to_thread(context.voices.delete, voice_id)
    return VoiceDeleted(id=voice.id)


async def _uploaded(sample: object, most: int) -> bytes:
    param = "audio_sample"
    if sample is None:
        raise InvalidInput(
            f"Missing required field '{param}'.", param=param, code="missing_required_parameter"
        )
    if not isinstance(sample, UploadFile):
        raise InvalidInput(f"Invalid '{param}': must be an uploaded file.", param=param, code="invalid_type")
    audio = await sample.read(most + 1)
    if len(audio) > most:
        raise BodyTooLarge(f"Invalid '{param}': at most {most} bytes are allowed.", param=param)
    return audio


def _card(context: Context, voice: Voice) -> VoiceCard:
    aliases = [
        alias for alias, voice_id in context.voices.aliases.items() if voice_id == voice.id and voice.shipped
    ]
    return VoiceCard(
        id=voice.id,
        created_at=voice.created_at,
        name=voice.name,
        language=voice.language,
        gender=voice.gender,
        description=voice.description,
        transcript=voice.transcript,
        consent=voice.consent,
        shipped=voice.shipped,
        aliases=aliases,
        warnings=[f"{name}: {WARNINGS[name]}" for name in voice.warnings if name in WARNINGS],
    )
