"""The reference pages are complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from deployments.families import load
from deployments.families.gpt_sovits.cfm.layout import LAYOUTS
from deployments.families.gpt_sovits.family import DRAWING
from deployments.families.gpt_sovits.options import GptSovitsOptions
from deployments.families.gpt_sovits.text.controls import CONTROLS
from deployments.families.indextts.family import IndexOptions
from deployments.families.voxcpm import family as vox_family
from deployments.families.voxcpm.family import VoxOptions
from deployments.families.voxcpm.modes import controls
from serve_app.config.file import load_config
from serve_app.config.settings import Settings
from serve_app.config.strict import models_in
from serve_app.http.foreign import FIELDS
from serve_app.http.gpt_sovits_schemas import TtsFields
from serve_app.http.job_schemas import JobBody
from serve_app.http.routes import (
    cached_voice,
    gpt_sovits,
    health,
    job_segments,
    jobs,
    models,
    read,
    root,
    speech,
    voices,
)
from serve_app.http.schemas import CachedVoiceQuery, SpeechBody
from tests.golden.indextts_set import SHIPPED

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
        route
        for module in (speech, read, voices, models, cached_voice, gpt_sovits, health, root)
        for route in module.router.routes
    ]
    paths = {getattr(route, "path").split("{")[0].rstrip("/") for route in routes}  # noqa: B009
    assert len(paths) >= 7
    assert not [path for path in paths if path not in page]
    kinds = SpeechBody, CachedVoiceQuery, TtsFields, voices.VoiceForm
    fields = [name for kind in kinds for name in kind.model_fields]
    assert not [name for name in fields if f"`{name}`" not in page and name != "type"]


def test_every_route_and_field_of_jobs_is_on_their_page() -> None:
    page = (DOCS / "jobs.md").read_text("utf-8")
    routes = (*jobs.router.routes, *job_segments.router.routes)
    ends = {getattr(route, "path").rpartition("}")[2].split("/")[-1] for route in routes}  # noqa: B009
    assert {"events", "report", "audio", "cancel", "segments"} <= ends
    assert not [end for end in ends if end not in page]
    assert not [name for name in JobBody.model_fields if f"`{name}`" not in page]


def test_the_table_of_foreign_fields_is_that_of_the_code() -> None:
    page = (DOCS / "http.md").read_text("utf-8")
    becomes = {None: "ignored"} | {field.name: "see above" for field in FIELDS if field.becomes == field.name}
    expected = [
        [f"`{field.name}`", field.sent_to, becomes.get(field.becomes, f"another name of `{field.becomes}`")]
        for field in FIELDS
    ]
    found = rows(page, "### Fields of other servers")
    assert [[cell.strip(" |") for cell in row] for row in found[1:]] == expected


def test_every_control_is_in_the_http_page() -> None:
    page = (DOCS / "http.md").read_text("utf-8")
    specs = [load("small").spec, load("indextts", {"model_dir": str(SHIPPED / "checkpoint")}).spec]
    rows: dict[str, list[str]] = {}
    for control in (control for spec in specs for control in spec.controls):
        rows[control.name] = [control.allowed, control.description]
    for name, told in rows.items():
        defaults = [f"{spec.defaults[name]:g}" for spec in specs]
        assert f"| `{name}` | {' | '.join([*told, *defaults])} |" in page
    for control in vox_family.CONTROLS + controls(version=2):
        told = [control.allowed, control.description, spelled(control.default)]
        assert f"| `{control.name}` | {' | '.join(told)} |" in page


def test_every_indextts_option_is_on_its_page() -> None:
    page = (DOCS / "indextts.md").read_text("utf-8")
    assert not [name for name in IndexOptions.model_fields if f"| `{name}` |" not in page]


def test_every_voxcpm_option_and_control_is_on_its_page() -> None:
    page = (DOCS / "voxcpm.md").read_text("utf-8")
    names = [*VoxOptions.model_fields]
    assert not [name for name in names if f"| `{name}` |" not in page]
    declared = vox_family.CONTROLS + controls(version=2)
    assert not [control.name for control in declared if f"`{control.name}`" not in page]


def test_every_gpt_sovits_option_and_control_is_on_its_page() -> None:
    page = (DOCS / "gpt_sovits.md").read_text("utf-8")
    names = [*GptSovitsOptions.model_fields]
    names += [
        control.name for control in (*DRAWING, *CONTROLS, *(layout.control for layout in LAYOUTS.values()))
    ]
    assert not [name for name in names if f"`{name}`" not in page]


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of all tables below a heading."""
    text = page.split(f"\n{heading}\n")[1].split("\n## ")[0]
    return [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]


def spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).removesuffix(".0")


def test_the_defaults_on_the_configuration_page_are_those_of_the_code() -> None:
    page = (DOCS / "configuration.md").read_text("utf-8")
    sections, checked = Settings().model_dump(), 0
    for keys, default, *_ in rows(page, "## args"):
        names = [name for name in re.findall(r"`([\w.]+)`", keys) if "." in name or name in sections]
        for name in names:
            value = sections
            for part in name.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None and not isinstance(value, (dict, list)) and len(names) == 1:
                assert default.strip().strip("`").removesuffix(".0") == spelled(value), name
                checked += 1
    assert checked > 20
    shares = ("gpt", 0.5), ("vocoder", 0.3), ("voice_encoder", 0.2), ("text_frontend", 0.1)
    assert [(name, sections[name]["num_cpus"]) for name, _ in shares] == list(shares)
    assert sections["ingress"]["num_cpus"] == 0.2
    assert "0.1 (`gpt` 0.5, `vocoder` 0.3, `voice_encoder` and `ingress` 0.2) |" in page


def test_the_table_of_profiles_is_what_the_files_say() -> None:
    page = (DOCS / "configuration.md").read_text("utf-8")
    found = {}
    for file, _, _, chunks, slots in rows(page, "## Profiles"):
        if match := re.search(r"configs/(\w+)\.yaml", file):
            found[match[1]] = (chunks, slots.strip(" |"))
    for name, (chunks, slots) in found.items():
        _, settings = load_config(DOCS.parent / "configs" / f"{name}.yaml", {})
        first, growth, longest = settings.chunks.first, settings.chunks.growth, settings.vocoder_chunk_size
        ways = {1.0: "from the first", 2.0: "doubling"}
        way = ways.get(growth, f"growing by {growth:g}")
        wanted = (
            f"{longest} frames {way}" if first == "whole" else f"{first} codes, {way}, up to {longest} frames"
        )
        assert (chunks, slots) == (wanted, str(settings.gpt.slots))
    assert len(found) == 3
