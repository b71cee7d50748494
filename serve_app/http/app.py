"""The HTTP application, the same under Ray Serve and in one process. Imports neither ray nor torch."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI

from serve_app.http import errors
from serve_app.http.middleware import RequestMiddleware
from serve_app.http.routes import cached_voice, health, models, speech, voices
from serve_app.http.routes.common import Traffic
from serve_app.service import Service


def create_app(service: Service, *, echo_request_id: bool = True) -> FastAPI:
    """The routes of one service, which they reach through `request.app.state`.

    echo_request_id: False behind a proxy that sets x-request-id itself.
    """
    app = FastAPI(title="Chorale", version=app_version(), redoc_url=None, redirect_slashes=False)
    app.state.service, app.state.traffic = service, Traffic()
    for module in (speech, voices, models, cached_voice, health):
        app.include_router(module.router)
    errors.install(app)
    settings = service.settings
    app.add_middleware(
        RequestMiddleware,
        max_upload=settings.limits.max_upload_bytes,
        max_requests=settings.ingress.max_ongoing_requests,
        echo=echo_request_id,
    )
    return app


def app_version() -> str:
    try:
        return version("chorale")
    except PackageNotFoundError:  # run from a source tree
        return "0.0.0"
