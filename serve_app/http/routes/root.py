"""GET and HEAD of addresses that clients only probe: the root of OpenAI's interface, and Kokoro-FastAPI's test."""

from __future__ import annotations

from fastapi import APIRouter

from serve_app.http.routes.common import Shared

router = APIRouter(tags=["health"])


@router.head("/v1/", include_in_schema=False)
@router.get("/v1/")  # the root of OpenAI's client, which LiveKit calls to connect early
async def root(service: Shared) -> dict[str, str]:
    """The name of the service, its default model, and the address of its documentation."""
    return {"service": "chorale", "model": service.models.default, "docs": "/docs", "status": "/v1/status"}


@router.get("/v1/test")
async def kokoro_test() -> dict[str, str]:
    """wyoming_openai treats a server that answers this as Kokoro-FastAPI, and lists its voices."""
    return {"status": "ok"}
