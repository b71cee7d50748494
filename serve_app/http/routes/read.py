"""POST /v1/audio/read: what will be said, before any of it is synthesised."""

from __future__ import annotations

from fastapi import APIRouter, Request

from serve_app.http import foreign
from serve_app.http.bodies import check, read_object
from serve_app.http.middleware import largest_text
from serve_app.http.routes.common import Shared, while_connected
from serve_app.http.schemas import ReadBody, Reading, ReadingList, inlined

router = APIRouter(tags=["audio"])

_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": inlined(ReadBody)}}}}


@router.post("/v1/audio/read", openapi_extra=_BODY)
async def read_text(request: Request, service: Shared) -> ReadingList:
    """The segments of a text as the model gets them: text, spoken words, phones and pauses. None for silence."""
    fields, _ = await read_object(request, largest_text(service.settings.limits.max_input_chars))
    if isinstance(text := fields.get("input"), str):
        service.check_text(text, wait=True)
    body = check(ReadBody, {name: value for name, value in fields.items() if value is not None}, strict=True)
    language = foreign.language(body.language)
    found = await while_connected(request, service.readings(body.input, body.model, language))
    return ReadingList(data=[Reading(**reading) for reading in found])
