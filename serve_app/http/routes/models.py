"""GET /v1/models, /v1/models/{id} and /v1/audio/models."""

from __future__ import annotations

from fastapi import APIRouter

from serve_app.http.routes.common import Shared
from serve_app.http.schemas import AudioModelList, ModelCard, ModelList
from serve_app.models import ALIASES
from serve_app.service import Service

router = APIRouter(tags=["models"])


@router.get("/v1/models")
async def list_models(service: Shared) -> ModelList:
    return ModelList(data=_cards(service))


@router.get("/v1/audio/models")
async def list_audio_models(service: Shared) -> AudioModelList:
    cards = _cards(service)
    return AudioModelList(data=cards, models=cards)


@router.get("/v1/models/{model}")
async def get_model(model: str, service: Shared) -> ModelCard:
    return _card(service, model)


def _cards(service: Service) -> list[ModelCard]:
    return [_card(service, name) for name in (*service.models.entries, *ALIASES)]


def _card(service: Service, asked: str) -> ModelCard:
    models = service.models
    name = models.name(asked)
    entry = models.entries[name]
    about = {}
    if entry.model is not None:
        spec = entry.model.spec
        about = {
            "family": spec.name,
            "languages": list(spec.languages),
            "sample_rate": spec.sample_rate,
            "controls": {c.name: c.schema for c in spec.controls if c.scope == "request"},
        }
    return ModelCard(
        id=asked,
        created=int(service.started),
        default=asked == models.default,
        alias_of=None if asked == name else name,
        state=entry.state,
        reason=entry.reason,
        **about,
    )
