"""Shows what will be said: the segments of a text, as the model gets them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deployments import assembly
from deployments.contract.errors import InvalidInput
from deployments.contract.family import read_segments
from deployments.contract.options import ModelOptions
from serve_app.service import reading_of


def readings(options: ModelOptions, text: str, language: str | None) -> list[dict[str, Any]]:
    """Each segment's text, spoken words, phones and pause_after in seconds. Raises the frontend's InvalidInput."""
    family = assembly.load_family(options)
    spec = family.spec
    device = assembly.device(options, "text_frontend", spec) if spec.frontend_device else None
    frontend = family.frontend(device)
    try:
        segments = read_segments(frontend, text, language, spec.of_text(spec.defaults))
    except InvalidInput as error:
        if error.code != "nothing_to_speak":
            raise
        return []
    return [reading_of(segment, frontend.symbols(segment)) for segment in segments]


def as_lines(found: list[dict[str, Any]], phones: bool) -> Iterator[str]:
    """The spoken words and the pause of each segment, its phones below them."""
    for reading in found:
        yield f"{reading['spoken'] or '(silence)'}  [{reading['pause_after']:g} s]"
        if phones and reading["phones"]:
            yield f"    {reading['phones']}"
