"""How a model reads the recording that it clones a voice from, and what it requires."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from deployments.contract.errors import InvalidInput
from deployments.contract.family import FamilySpec
from serve_app.audio.decode import decode_recording
from serve_app.audio.recording import Recording
from serve_app.models import Model
from serve_app.voices.prompts import Read


def bounds(*specs: FamilySpec) -> dict[str, float]:
    """The shortest and the longest recording that any of the families can use."""
    return {
        "min_seconds": min(spec.min_reference_seconds for spec in specs),
        "max_seconds": max(spec.max_reference_seconds for spec in specs),
    }


def check_transcript(model: Model, transcript: str | None, param: str) -> None:
    """Raises InvalidInput (param `param`) if the model needs the text that is spoken in a recording."""
    if model.spec.needs_transcript and not (transcript or "").strip():
        message = f"Invalid '{param}': {model.name} needs a transcript, and the recording has none."
        raise InvalidInput(message, param=param, code="missing_transcript")


def trusted(audio: bytes, **about: Any) -> Coroutine[Any, Any, Recording]:
    """`decode_recording` in a thread, for a recording of the voice library."""
    return asyncio.to_thread(decode_recording, audio, **about)


def reader(models: Iterable[Model], model: Model, decode: Read) -> Read:
    """Reads the part of a recording that `model` uses. A recording in the library or in a request gives equal samples.

    Both are decoded by the same code to the length that some of the `models` can use, as uploads are.
    """
    widest = bounds(model.spec, *(other.spec for other in models))

    async def read(audio: bytes, *, param: str) -> Recording:
        recording = await decode(audio, **widest, param=param)
        return recording.within(param=param, **bounds(model.spec))

    return read
