"""GET /v1/models and /v1/models/{id}."""

from __future__ import annotations

from fastapi import APIRouter

from serve_app.context import MODEL_ALIASES, Context
from serve_app.http.routes.common import Shared, check_model
from serve_app.http.schemas import ModelCard, ModelList

router = APIRouter(tags=["models"])


@router.get("/v1/models")
async def list_models(context: Shared) -> ModelList:
    return ModelList(data=[_card(context, name) for name in (context.settings.model_id, *MODEL_ALIASES)])


@router.get("/v1/models/{model}")
async def get_model(model: str, context: Shared) -> ModelCard:
    check_model(context, model)
    return _card(context, model)


def _card(context: Context, name: str) -> ModelCard:
    return ModelCard(id=name, created=int(context.started))
