"""Which web pages may call the service (CORS): those of the configured origins; by default none."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from serve_app.http.errors import HttpError

METHODS = ("GET", "HEAD", "POST", "DELETE")
# Response headers that a page's script may read, besides the few that browsers always show.
EXPOSED = (
    "content-length",
    "retry-after",
    "x-chorale-ignored",
    "x-chorale-silence",
    "x-cut",
    "x-ratelimit-limit-characters",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-characters",
    "x-ratelimit-remaining-requests",
    "x-request-id",
    "x-retries",
    "x-seed",
    "x-voice",
    "x-warnings",
)


class Cors(CORSMiddleware):
    """ASGI middleware. origins: as browsers send them, or "*"."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=("*",),
            allow_private_network=True,
            expose_headers=EXPOSED,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """As Starlette's, but a refusal has the body of every other error."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        message = f"{bytes(answer.body).decode()}."
        error = HttpError(answer.status_code, message, "cors_refused")
        kept = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        return JSONResponse(error.body, error.status, kept)


def with_cors(app: ASGIApp, origins: Collection[str]) -> ASGIApp:
    return Cors(app, origins) if origins else app
