"""The HTTP application, the same under Ray Serve and in one process. Imports neither ray nor torch."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI

from serve_app import errors
from serve_app.context import Context
from serve_app.edge import Edge
from serve_app.routes import cached_voice, health, models, speech, voices


def create_app(context: Context) -> FastAPI:
    """The routes over one context (they reach it through `request.app.state`)."""
    app = FastAPI(title="Chorale", version=app_version(), redoc_url=None)
    app.state.context = context
    for module in (speech, voices, models, cached_voice, health):
        app.include_router(module.router)
    errors.install(app)
    room = 2**20  # for text and framing, beside a reference in base64
    app.add_middleware(
        Edge,
        max_body=context.settings.max_upload_bytes * 4 // 3 + room,
        echo=context.settings.echo_request_id,
    )
    return app


def app_version() -> str:
    try:
        return version("chorale")
    except PackageNotFoundError:  # run from a source tree
        return "0.0.0"
