"""The bodies of POST /v1/jobs and of its routes for segments."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from deployments.contract.errors import InvalidInput
from serve_app.http.schemas import MAX_SEED, MAX_TOKENS, Finite, StrictModel, Text
from serve_app.jobs.request import Format, JobOptions

VoiceName = Annotated[str, Field(min_length=1, max_length=128)]
STRUCTURED = ("voices", "chapters", "pronunciations", "script")  # written as JSON in a form


class JobBody(JobOptions):
    """POST /v1/jobs. Exactly one of `input`, `script` and an uploaded `file`. voices: by speaker.

    Other fields are the model's controls, which the service checks.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    input: Text | None = None
    script: list[Any] | None = None  # [{speaker, text, chapter}], as `books.script` checks it
    model: str | None = Field(None, min_length=1, max_length=128)
    voice: VoiceName | None = None
    voices: dict[Annotated[str, Field(min_length=1, max_length=100)], VoiceName] = Field(
        default_factory=dict, max_length=100
    )
    language: str | None = Field(None, min_length=1, max_length=32)
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    speed: Finite = Field(1.0, ge=0.25, le=4.0)
    max_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS)
    format: Format | None = None  # type: ignore[assignment]  # m4b for a file, else mp3

    def options(self, default: Format) -> JobOptions:
        given = {
            name: getattr(self, name) for name in JobOptions.model_fields if name in self.model_fields_set
        }
        return JobOptions(**{**given, "format": self.format or default})


class SegmentBody(StrictModel):
    """POST /v1/jobs/{id}/segments/{index}: the changes for speaking it again."""

    seed: int | None = Field(None, ge=0, le=MAX_SEED, strict=True)
    text: Text | None = Field(None, max_length=2000)
    voice: VoiceName | None = None


def from_form(fields: dict[str, str]) -> dict[str, Any]:
    """The values of a form, with those that are written as JSON parsed. Raises InvalidInput."""
    found: dict[str, Any] = dict(fields)
    for name in STRUCTURED:
        if name in found:
            try:
                found[name] = json.loads(found[name])
            except (ValueError, RecursionError):
                raise InvalidInput(f"Invalid '{name}': must be JSON.", param=name) from None
    for name, value in fields.items():
        if value in ("", "null"):
            found[name] = None if name == "loudness" else found[name]
    return {name: value for name, value in found.items() if value != ""}
