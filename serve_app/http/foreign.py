"""Fields that clients of other speech servers send to POST /v1/audio/speech, and how they are handled here.

`FIELDS` is the only list: the route, the OpenAPI schema, the tests and docs/http.md follow it. A field that would
change who speaks or what is said must not be ignored, so such fields are not listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deployments.contract.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Foreign:
    """becomes: our field of that meaning, possibly with the same name; None: accepted without effect."""

    name: str
    becomes: str | None
    sent_to: str  # the servers whose clients send it


KOKORO, OMNI, OTHERS = "Kokoro-FastAPI", "vLLM-Omni", "others"
BOTH = f"{KOKORO}, {OMNI}"

FIELDS = (
    Foreign("lang", "language", OTHERS),
    Foreign("lang_code", "language", KOKORO),
    Foreign("max_new_tokens", "max_tokens", OMNI),
    Foreign("ref_audio", "reference_audio", OMNI),
    Foreign("ref_text", "reference_text", OMNI),
    Foreign("sample_rate", "sample_rate", OMNI),
    Foreign("speaker", "voice", OMNI),
    Foreign("stream", "stream", BOTH),
    Foreign("volume_multiplier", "volume_multiplier", KOKORO),
    Foreign("download_format", None, KOKORO),
    Foreign("extra_params", None, OMNI),
    Foreign("initial_codec_chunk_frames", None, OMNI),
    Foreign("non_streaming_mode", None, OMNI),
    Foreign("normalization_options", None, KOKORO),
    Foreign("return_download_link", None, KOKORO),
    Foreign("return_timestamps", None, KOKORO),
    Foreign("return_timing", None, KOKORO),
    Foreign("task_type", None, OMNI),
    Foreign("user", None, OTHERS),
    Foreign("word_timestamps", "word_timestamps", OMNI),
    Foreign("x_vector_only_mode", None, OMNI),
)
_BECOMES = {field.name: field.becomes for field in FIELDS}

# Languages by the names and letters that other servers use; codes such as "en" or "zh-CN" are the frontend's.
LANGUAGES = {"auto": None} | dict.fromkeys(("english", "a", "b"), "en")
LANGUAGES |= dict.fromkeys(("chinese", "mandarin", "cmn", "z"), "zh")


@dataclass(frozen=True, slots=True)
class Translated:
    """fields: under our names, without nulls. names: the client's name of each that has another. ignored: sorted."""

    fields: dict[str, Any]
    names: Mapping[str, str]
    ignored: tuple[str, ...]


def translated(fields: Mapping[str, Any]) -> Translated:
    """A request's fields in our terms. Raises InvalidInput if two of them set the same one to different values."""
    found: dict[str, Any] = {}
    names: dict[str, str] = {}
    ignored: list[str] = []
    for name, value in fields.items():
        if value is None:
            continue
        own = _BECOMES.get(name, name)
        if own is None:
            ignored.append(name)
            continue
        if own in found and found[own] != value:
            other = names.get(own, own)
            raise InvalidInput(
                f"'{other}' and '{name}' are the same field: give only one of them.", param=name
            )
        found[own] = value
        if name != own:
            names[own] = name
    if isinstance(asked := found.get("language"), str):
        found["language"] = language(asked)
    return Translated(found, names, tuple(sorted(ignored)))


def language(asked: str | None) -> str | None:
    """A language as our models name it; None: detect it. An unknown one is returned for them to reject."""
    return LANGUAGES.get(asked.strip().casefold(), asked) if asked is not None else None


def names_of(own: str) -> tuple[str, ...]:
    """Our field's name and its foreign ones."""
    return (own, *(field.name for field in FIELDS if field.becomes == own and field.name != own))


def schemas(own: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schemas of the foreign fields. own: those of our fields."""
    renamed = {
        field.name: own[field.becomes] | {"description": f"Another name of `{field.becomes}`."}
        for field in FIELDS
        if field.becomes not in (None, field.name)
    }
    ignored = (field.name for field in FIELDS if field.becomes is None)
    return renamed | {name: {"description": "Accepted without effect."} for name in ignored}
