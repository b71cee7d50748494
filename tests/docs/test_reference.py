"""The reference pages are complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from deployments.families import load
from deployments.families.indextts.family import IndexOptions
from serve_app.config.settings import Settings
from serve_app.config.strict import models_in
from serve_app.http.routes import cached_voice, health, models, speech, voices
from serve_app.http.schemas import CachedVoiceQuery, SpeechBody

DOCS = Path(__file__).resolve().parents[2] / "docs"


def keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for inner in models_in(field.annotation):
            yield from keys(inner)


def test_every_setting_is_on_the_configuration_page() -> None:
    page = (DOCS / "configuration.md").read_text("utf-8")
    assert not [key for key in keys(Settings) if key not in page]


def test_every_route_and_field_is_on_the_http_page() -> None:
    page = (DOCS / "http.md").read_text("utf-8")
    routes = [
        route for module in (speech, voices, models, cached_voice, health) for route in module.router.routes
    ]
    paths = {getattr(route, "path").split("{")[0].rstrip("/") for route in routes}  # noqa: B009
    assert len(paths) >= 7
    assert not [path for path in paths if path not in page]
    fields = [*SpeechBody.model_fields, *CachedVoiceQuery.model_fields, *voices.VoiceForm.model_fields]
    assert not [name for name in fields if f"`{name}`" not in page and name != "type"]


def test_every_control_is_in_the_http_page() -> None:
    page = (DOCS / "http.md").read_text("utf-8")
    checkpoint = DOCS.parent / "tests" / "golden" / "indextts" / "checkpoint"
    specs = [load("small").spec, load("indextts", {"model_dir": str(checkpoint)}).spec]
    rows: dict[str, list[str]] = {}
    for control in (control for spec in specs for control in spec.controls):
        rows[control.name] = [control.allowed, control.description]
    for name, told in rows.items():
        defaults = [f"{spec.defaults[name]:g}" for spec in specs]
        assert f"| `{name}` | {' | '.join([*told, *defaults])} |" in page


def test_every_indextts_option_is_on_its_page() -> None:
    page = (DOCS / "indextts.md").read_text("utf-8")
    assert not [name for name in IndexOptions.model_fields if f"| `{name}` |" not in page]
