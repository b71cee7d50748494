"""The HTTP application, the same under Ray Serve and in one process. Imports neither ray nor torch."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pkgutil import iter_modules
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from serve_app.http import errors, routes
from serve_app.http.access import Access
from serve_app.http.cors import Cors
from serve_app.http.middleware import RequestMiddleware
from serve_app.http.routes.common import Traffic
from serve_app.http.schemas import ErrorBody
from serve_app.jobs.jobs import Jobs
from serve_app.service import Service

# Serve makes the spans. FastAPI's own would begin another trace, with the text that a query holds.
OFF: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}


def create_app(service: Service, *, echo_request_id: bool = True) -> FastAPI:
    """The routes over one service. echo_request_id: False behind a proxy that sets x-request-id itself."""
    app = FastAPI(
        title="Chorale",
        version=app_version(),
        redoc_url=None,
        redirect_slashes=False,
        responses={"default": {"description": "An error", "model": ErrorBody}},
        telemetry=OFF,
    )
    app.state.service, app.state.traffic, app.state.jobs = service, Traffic(), Jobs(service)
    for found in iter_modules(routes.__path__):
        module = import_module(f"{routes.__name__}.{found.name}")
        if hasattr(module, "router"):
            app.include_router(module.router)
    errors.install(app)
    _describe_controls(app, service)
    settings = service.settings
    app.add_middleware(
        RequestMiddleware,
        max_upload=settings.limits.max_upload_bytes,
        max_text=settings.limits.max_input_chars,
        max_book=settings.jobs.max_book_bytes,
        max_requests=settings.ingress.max_ongoing_requests,
        echo=echo_request_id,
        recorder=service.recorder,
        access=Access(settings.access, settings.http.cors_origins, settings.http.allowed_hosts),
    )
    if settings.http.cors_origins:  # the outermost, so that errors have the headers too
        app.add_middleware(Cors, origins=settings.http.cors_origins)
    return app


def _describe_controls(app: FastAPI, service: Service) -> None:
    """Adds the models' controls to the OpenAPI document, as fields of the body and of the query."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        controls = {
            control.name: control.schema
            for model in reversed(service.models.by_rank())  # of one name, the default model's
            for control in model.spec.controls
            if control.scope == "request"
        }
        content = document["paths"]["/v1/audio/speech"]["post"]["requestBody"]["content"]
        body = content["application/json"]["schema"]
        body |= {"properties": body["properties"] | controls, "additionalProperties": False}
        for call in document["paths"]["/tts_with_cached_voice"].values():
            rest = [parameter for parameter in call["parameters"] if parameter["name"] not in controls]
            query = ({"name": name, "in": "query", "schema": schema} for name, schema in controls.items())
            call["parameters"] = [*rest, *query]
        return document

    app.openapi = openapi


def app_version() -> str:
    try:
        return version("chorale")
    except PackageNotFoundError:  # run from a source tree
        return "0.0.0"
