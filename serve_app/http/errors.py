"""Maps typed errors to HTTP. Only this module knows status codes and OpenAI's error body.

{"error": {"message": ..., "type": ..., "param": ..., "code": ...}}
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from deployments.contract.errors import (
    ChoraleError,
    DiskFull,
    Forbidden,
    InvalidInput,
    NotFound,
    Overloaded,
    RateLimited,
    Unauthorized,
    Unavailable,
    printable,
)
from serve_app.http.schemas import RANGES

log = logging.getLogger("chorale.http")

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"
MOST_ERRORS = 100  # of one request that are examined
ERROR_CODE = "error_code"  # in a request's state: the code of its error, for the metrics
UNAVAILABLE_RETRY_AFTER = 5  # seconds, about the time that a replica takes to restart


class BodyTooLarge(InvalidInput):
    """The request's body exceeds the limit (HTTP 413)."""

    code = "request_too_large"


STATUSES = {  # the first class that matches
    BodyTooLarge: (413, INVALID_REQUEST),
    InvalidInput: (400, INVALID_REQUEST),
    NotFound: (404, INVALID_REQUEST),
    Unauthorized: (401, INVALID_REQUEST),
    Forbidden: (403, INVALID_REQUEST),
    RateLimited: (429, "requests"),
    Overloaded: (429, "overloaded_error"),
    Unavailable: (503, SERVER_ERROR),
    DiskFull: (507, SERVER_ERROR),
    ChoraleError: (500, SERVER_ERROR),
}
REASONS = {  # by pydantic's type of error, where its own message is not clear enough
    "literal_error": "must be one of {expected}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} character(s)",
    "value_error": "{error}",
}


@dataclass(frozen=True, slots=True)
class HttpError:
    """The status, body and headers of an error response."""

    status: int
    message: str
    code: str | None
    type: str = INVALID_REQUEST
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, dict[str, str | None]]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, dict(self.headers))


def to_http(error: BaseException) -> HttpError:
    """The HTTP form of any exception. An internal error becomes a 500 without details."""
    cause = getattr(error, "cause", None)  # set by Ray when an error crosses a process boundary
    if isinstance(cause, ChoraleError):
        error = cause
    if isinstance(error, ChoraleError):
        status, kind = next(found for known, found in STATUSES.items() if isinstance(error, known))
        wait = error.retry_after if isinstance(error, Overloaded) else UNAVAILABLE_RETRY_AFTER
        headers = {"retry-after": str(max(1, math.ceil(wait)))} if status in (429, 503) else {}
        if status == 401:
            headers = {"www-authenticate": "Bearer"}
        return HttpError(status, error.message, error.code, kind, error.param, headers)
    if isinstance(error, RequestValidationError):
        return _from_validation(error.errors())
    if isinstance(error, HTTPException):
        return _from_status(error)
    return HttpError(500, "The server failed while processing the request.", "internal_error", SERVER_ERROR)


def too_large(most: int, param: str | None = None) -> BodyTooLarge:
    what = f"Invalid '{param}'" if param else "The request's body is too large"
    return BodyTooLarge(f"{what}: at most {most} bytes are allowed.", param=param)


def text_too_large(most: int) -> BodyTooLarge:
    """For a speech request without a recording, whose size comes from its text."""
    what = f"'input' and the other text fields may have at most {most} bytes"
    return BodyTooLarge(f"The request's body is too large: {what}.", param="input")


def from_proxy(status: int, headers: Mapping[bytes, bytes]) -> HttpError:
    """Replaces an error response of Serve's proxy, whose plain text exposes internals."""
    if status == 404:
        return HttpError(404, "Unknown route.", "unknown_url")
    if status == 408:
        return HttpError(408, "The request did not finish within the time limit.", "request_timeout")
    if status not in (429, 503):
        return to_http(RuntimeError())
    full = Overloaded("Too many requests are waiting; try again later.")
    error = to_http(full if status == 429 else Unavailable("No replica is available."))
    seconds = headers.get(b"retry-after", b"%d" % UNAVAILABLE_RETRY_AFTER).decode("latin-1")
    return replace(error, headers={"retry-after": seconds})


def install(app: FastAPI) -> None:
    """Routes every error that reaches the framework through `to_http`."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        http = to_http(error)
        if isinstance(error, HTTPException) and error.status_code == 404 and error.detail == "Not Found":
            route = f"{request.method} {printable(request.scope['path'], 200)}"
            http = HttpError(404, f"Unknown route: {route}.", "unknown_url")
        request.scope.setdefault("state", {})[ERROR_CODE] = http.code or str(http.status)
        if http.status >= 500:
            log.error("%s %s failed: %s", request.method, request.scope["path"], http.message, exc_info=error)
        return http.response()

    for kind in (ChoraleError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handle)


def _from_status(error: HTTPException) -> HttpError:
    codes = {404: "not_found", 405: "method_not_allowed", 413: "request_too_large", 400: "invalid_body"}
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    message = str(error.detail)
    if error.status_code == 405:
        message = f"Method not allowed. Allowed: {headers.get('allow', 'see the documentation')}."
    kind = SERVER_ERROR if error.status_code >= 500 else INVALID_REQUEST
    return HttpError(error.status_code, message, codes.get(error.status_code), kind, headers=headers)


def _from_validation(errors: Sequence[Mapping[str, Any]]) -> HttpError:
    """The first fault in full and the names of the other fields, so that a caller can fix all of them at once."""
    (param, message, code), *others = map(_describe, errors[:MOST_ERRORS])
    if also := [name for name in dict.fromkeys(name for name, *_ in others) if name != param]:
        message += f" Also wrong: {', '.join(also[:8])}."
    return HttpError(400, message, code, param=param)


def _describe(error: Mapping[str, Any]) -> tuple[str, str, str]:
    """(param, message, code) of one pydantic error. The input is never shown: it may be huge or unprintable."""
    kind = str(error.get("type", ""))
    location = [str(part) for part in error.get("loc", ()) if part not in ("body", "query", "path")]
    location[1:] = [part for part in location[1:] if part not in ("str", "VoiceId")]  # members of a union
    param = printable(".".join(location))
    if kind == "missing":
        return param, f"Missing required field '{param}'.", "missing_required_parameter"
    if kind == "extra_forbidden":
        return param, f"Unknown field '{param}'.", "unknown_parameter"
    said = REASONS.get(kind, "").format(**error.get("ctx", {})) or str(error.get("msg", "is not valid"))
    reason = (RANGES.get(param) or said).removeprefix("Input should ").removeprefix("be ")
    verb = "" if reason.startswith("must") else "must be "
    code = "invalid_type" if kind.endswith("_type") else "invalid_value"
    return param, f"Invalid '{param}': {verb}{reason}.", code
