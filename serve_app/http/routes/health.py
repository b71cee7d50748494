"""GET /health (alive), /ready (warm) and /v1/status (details); POST /v1/cache/free (frees unused memory)."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from deployments.contract.errors import Unavailable
from deployments.engine.device import memory
from serve_app.books.cover import MOST_BYTES
from serve_app.http.errors import to_http
from serve_app.http.routes.common import Counted, Shared

router = APIRouter(tags=["health"])


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health(service: Shared) -> dict[str, Any]:
    """200 while this process answers. `ready` and `device` are the last known state of the default model's stages."""
    status, default = await service.last_status(), service.models.default
    device = status["models"].get(default, {}).get("device")
    return {"status": "ok", "ready": status["ready"], "model": default, "device": device}


@router.head("/ready", include_in_schema=False, response_model=None)
@router.get("/ready", response_model=None)
async def ready(service: Shared) -> JSONResponse:
    """200 when no model is starting, at least one can speak, and every stage is warm; else 503."""
    status = await service.status()
    states = {name: model["state"] for name, model in status["models"].items()}
    summary = {"ready": status["ready"], "model": service.models.default, "models": states}
    if status["ready"]:
        return JSONResponse(summary)
    error = to_http(Unavailable("Not every stage is warm yet.", code="not_ready"))
    return JSONResponse({**summary, **error.body}, 503, dict(error.headers))


@router.get("/v1/status")
async def status(service: Shared, traffic: Counted) -> dict[str, Any]:
    models = list(service.models)
    prompts = Counter[str](entries=0, bytes=0, hits=0, misses=0)
    for model in models:
        prompts.update(model.prompts.status())
    return {
        **await service.status(),
        "model": service.models.default,
        "ingress": {
            "pid": os.getpid(),
            "memory": memory.usage(),
            "uptime_s": round(time.time() - service.started, 1),
            "speech_requests": traffic.requests,
            "listening": traffic.listening,
            "segments_retried": sum(model.synthesizer.faults.retried for model in models),
            "segments_cut_off": sum(model.synthesizer.faults.cut for model in models),
            "prompts": prompts,
        },
        "limits": {
            "max_input_chars": service.settings.limits.max_input_chars,
            "max_upload_bytes": service.settings.limits.max_upload_bytes,
            "long_text_chars": service.settings.jobs.long_text_chars,
            "max_book_bytes": service.settings.jobs.max_book_bytes,
            "max_cover_bytes": MOST_BYTES,
        },
    }


@router.post("/v1/cache/free")
async def free_cache(service: Shared) -> dict[str, Any]:
    """Drops the voice prompts in memory (not on disk) and frees unused memory in every process.

    Running work is not disturbed: a model replica frees memory between two steps. `before` and `after` are sums.
    """
    processes = await service.free()
    totals = {when: Counter[str]() for when in ("before", "after")}
    for process in processes:
        for when, total in totals.items():
            total.update(process[when])
    return {**totals, "processes": processes}
