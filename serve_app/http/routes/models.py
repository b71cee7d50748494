"""GET /v1/models and /v1/models/{id}."""

from __future__ import annotations

from fastapi import APIRouter

from serve_app.http.routes.common import Shared
from serve_app.http.schemas import ModelCard, ModelList
from serve_app.service import MODEL_ALIASES, Service

router = APIRouter(tags=["models"])


@router.get("/v1/models")
async def list_models(service: Shared) -> ModelList:
    return ModelList(data=[_card(service, name) for name in (service.settings.model_id, *MODEL_ALIASES)])


@router.get("/v1/models/{model}")
async def get_model(model: str, service: Shared) -> ModelCard:
    service.check_model(model)
    return _card(service, model)


def _card(service: Service, name: str) -> ModelCard:
    controls = {c.name: c.schema for c in service.backend.spec.controls if c.scope == "request"}
    return ModelCard(id=name, created=int(service.started), controls=controls)
