"""Reads JSON and form bodies at a bounded cost.

The JSON parser blocks the event loop, so its input must be small. The one field that may be large, a recording in
base64, is cut out of the bytes first and decoded in a thread.
"""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import json
import re
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.requests import Request

from deployments.contract.errors import InvalidInput, unknown_fields
from serve_app.config.strict import models_in
from serve_app.http.errors import text_too_large, too_large
from serve_app.http.foreign import names_of

M = TypeVar("M", bound=BaseModel)

JSON_TYPE = re.compile(r"application/(?:[a-z0-9.-]{1,80}\+)?json")
CHARSETS = (b"utf-8", b"utf8", b"us-ascii")
NOT_AN_OBJECT = "The request's body must be a JSON object, sent with content-type: application/json."

RECORDINGS = tuple(f'"{name}"'.encode() for name in names_of("reference_audio"))
REFERENCE = re.compile(rb"(?:%b)[ \t\r\n]{0,64}:[ \t\r\n]{0,64}\"" % b"|".join(RECORDINGS))
BLANKS = b" \t\r\n\f\v"
PIECE = 2**18  # characters decoded at a time, so that other threads can run in between
# JSON escapes that may occur in base64: line breaks, the slash (some libraries), `+` and `=` (others).
ESCAPES = {
    rb"\/": b"/", rb"\n": b"", rb"\r": b"", rb"\t": b"",
    rb"\u002B": b"+", rb"\u002b": b"+", rb"\u002F": b"/", rb"\u002f": b"/", rb"\u003D": b"=", rb"\u003d": b"=",
}  # fmt: skip
LONGEST_ESCAPE = 6

_decoders = ThreadPoolExecutor(1, thread_name_prefix="base64")


class Recording(NamedTuple):
    """Base64 that was cut out of a JSON body, still escaped. `mark` replaces it in the body."""

    mark: str
    escaped: bytes


async def read_object(request: Request, most: int) -> tuple[dict[str, Any], Recording | None]:
    """The body, a JSON object, and what was cut out. most: bytes of the rest. Raises InvalidInput, BodyTooLarge."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # not Request.body, which would keep the bytes until the response ends
    raw = b"".join([piece async for piece in request.stream()])
    if not JSON_TYPE.fullmatch(kind):
        raise _unfit(NOT_AN_OBJECT)
    recording = None
    if len(raw) > most:
        raw, recording = cut(raw)
    if len(raw) > most:
        raise text_too_large(most)
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError) as error:  # also for a number with thousands of digits, or not UTF-8
        deep = isinstance(error, RecursionError)
        reason = "too deeply nested" if deep else getattr(error, "msg", "syntax error")
        raise InvalidInput(f"The request's body is not valid JSON: {reason}.", code="invalid_json") from None
    if not isinstance(fields, dict):
        raise _unfit(NOT_AN_OBJECT)
    return fields, recording


def cut(raw: bytes) -> tuple[bytes, Recording | None]:
    """Replaces the first string under the key `reference_audio`, or another name of it, with a mark."""
    found = REFERENCE.search(raw)
    end = raw.find(b'"', found.end()) if found else -1
    if found is None or end < 0:
        return raw, None
    mark = secrets.token_hex(16)
    recording = Recording(mark, raw[found.end() : end])
    return raw[: found.end()] + mark.encode() + raw[end:], recording


@contextlib.asynccontextmanager
async def read_form(request: Request, **bounds: int) -> AsyncIterator[FormData]:
    """A multipart form. bounds: the limits of Starlette's `Request.form`. Raises InvalidInput."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise _unfit("The request's body must be a form, sent with content-type: multipart/form-data.")
    if options.get(b"charset", b"utf-8").lower() not in CHARSETS:
        raise _unfit("Invalid 'charset' of the content-type: must be utf-8.")
    try:
        form = await request.form(**bounds)
    except (ValueError, LookupError):  # from the boundary, the parts' headers or their encoding
        raise _unfit("The request's body is not a valid multipart form.") from None
    try:
        yield form
    finally:
        await form.close()


def check(model: type[M], fields: dict[str, Any], *, strict: bool | None = None) -> M:
    """Validates `fields`, strictly or not. A model with extra="allow" keeps unknown names for the caller to check.

    Raises InvalidInput for unknown names, before pydantic creates an error for each; else RequestValidationError.
    """
    extra = model.model_config.get("extra") == "allow"
    unknown = [name for name in fields if name not in model.model_fields and not extra]
    for name, field in model.model_fields.items():
        if not isinstance(inner := fields.get(name), dict):
            continue
        if owners := list(models_in(field.annotation)):  # without one, the keys are the client's own
            known = {key for owner in owners for key in owner.model_fields}
            unknown += [f"{name}.{key}" for key in inner if key not in known]
    if unknown:
        raise unknown_fields(unknown)
    try:
        return model.model_validate(fields, strict=strict)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None


async def decoded(text: str, recording: Recording | None, most: int, param: str) -> bytes:
    """Decodes a recording from base64 or a `data:` URL. Raises InvalidInput, and BodyTooLarge above `most` bytes."""
    escaped = recording.escaped if recording and text == recording.mark else text.encode("utf-8", "replace")
    try:
        return await asyncio.get_running_loop().run_in_executor(_decoders, decode_base64, escaped, most)
    except binascii.Error:
        allowed = "an audio file in base64, or a data: URL with one (other URLs are not fetched)"
        raise InvalidInput(f"Invalid '{param}': must be {allowed}.", param=param) from None
    except OverflowError:
        raise too_large(most, param) from None


def decode_base64(text: bytes, most: int) -> bytes:
    """Decodes base64 with whitespace and JSON escapes. Raises binascii.Error, and OverflowError above `most` bytes."""
    start = text.find(b",") + 1 if text.startswith(b"data:") else 0
    data, escape, rest, over = bytearray(), b"", b"", False
    for begin in range(start, len(text), PIECE):
        last = begin + PIECE >= len(text)
        piece = escape + text[begin : begin + PIECE]
        broken = piece.rfind(b"\\", max(0, len(piece) - LONGEST_ESCAPE + 1))
        end = len(piece) if last or broken < 0 else broken
        piece, escape = piece[:end], piece[end:]
        if b"\\" in piece:
            for written, meaning in ESCAPES.items():
                piece = piece.replace(written, meaning)
        rest += piece.translate(None, BLANKS)
        end = len(rest) if last else len(rest) // 4 * 4
        piece, rest = rest[:end], rest[end:]
        if over and piece:
            raise binascii.Error("data after the padding")
        over = over or piece.endswith(b"=")
        data += binascii.a2b_base64(piece, strict_mode=True)
        if len(data) > most:
            raise OverflowError
    return bytes(data)


def _unfit(message: str) -> InvalidInput:
    return InvalidInput(message, code="invalid_body")
