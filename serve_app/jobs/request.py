"""The request of a job, as it is stored with the job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.contract.errors import InvalidInput
from deployments.contract.options import ModelOptions
from deployments.contract.work import BACKGROUND
from serve_app.books.pronunciations import MOST
from serve_app.jobs.outputs import LOUDEST, QUIETEST
from serve_app.service import SpeechRequest

DEFAULT_VOICE = ""  # the key of the voice for text without a speaker

Format = Literal["m4b", "mp3", "wav", "flac", "opus"]
Silence = Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)]  # seconds


class JobOptions(BaseModel):
    """How a book is spoken and written.

    bucket_size: segments of a batch in the mode "batched"; chapters: indices, None for those that the reader
    includes; loudness: in LUFS, None to leave the level unchanged; subtitles: SRT and VTT files; read_along: an EPUB 3
    whose text is highlighted while it is spoken; pronunciations: a respelling for each word.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Format = "m4b"
    per_chapter: bool = False
    mode: Literal["sentence", "batched"] = "batched"
    bucket_size: Annotated[int, Field(ge=1, le=12)] = 6
    chapters: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=10_000)] | None = (
        None
    )
    title: Annotated[str, Field(max_length=500)] | None = None
    author: Annotated[str, Field(max_length=500)] | None = None
    narrator: Annotated[str, Field(max_length=500)] | None = None
    paragraph_pause: Silence = 0.6
    chapter_pause: Silence = 2.0
    loudness: Annotated[float, Field(ge=QUIETEST, le=LOUDEST, allow_inf_nan=False)] | None = -18.0
    subtitles: bool = True
    read_along: bool = False
    pronunciations: Annotated[dict[str, str], Field(max_length=MOST)] = {}


class JobVoice(BaseModel):
    """A voice as it was at the submission. recording: the key of its file in the audio store; digest: of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    recording: str
    digest: str
    transcript: str | None = None
    language: str | None = None


class JobRequest(BaseModel):
    """source: the name of the file that holds the text, and `key` where it is; voices: by speaker.

    cover: the key of a cover that replaces the book's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    key: str
    cover: str | None = None
    model: str
    voices: dict[str, JobVoice]
    language: str | None = None
    seed: int
    speed: float = 1.0
    max_tokens: int | None = None
    controls: dict[str, Any] = {}
    options: JobOptions = JobOptions()

    def voice(self, speaker: str) -> JobVoice:
        return self.voices.get(speaker) or self.voices[DEFAULT_VOICE]

    def speech(self, text: str, speaker: str, recording: bytes, seed: int | None) -> SpeechRequest:
        """The request that speaks one segment. seed: None for the job's."""
        voice = self.voice(speaker)
        return SpeechRequest(
            text,
            recording=recording,
            transcript=voice.transcript,
            recording_language=voice.language,
            model=self.model,
            language=self.language,
            seed=self.seed if seed is None else seed,
            speed=self.speed,
            max_tokens=self.max_tokens,
            controls=self.controls,
            priority=BACKGROUND,
            whole=True,
        )

    def sound(self, text: str, speaker: str, seed: int | None, options: ModelOptions, weights: str) -> str:
        """A hash of everything that a segment's sound depends on. options, weights: the model's."""
        voice = self.voice(speaker)
        depends: Mapping[str, Any] = {
            "text": text,
            "voice": [voice.digest, voice.transcript, voice.language],
            "model": options.model_dump(mode="json", exclude={"prompts", "busy_replicas"}),
            "weights": weights,
            "language": self.language,
            "seed": self.seed if seed is None else seed,
            "speed": self.speed,
            "max_tokens": self.max_tokens,
            "controls": self.controls,
        }
        return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()


def stored(request: Mapping[str, Any]) -> JobRequest:
    """The request of a job's row. Raises InvalidInput (param "job_id") for one that another version has written."""
    try:
        found = JobRequest.model_validate(request)
        found.voice(DEFAULT_VOICE)
        return found
    except (ValidationError, KeyError):
        message = "The stored request of this job cannot be read, so the job can only be deleted."
        raise InvalidInput(message, param="job_id", code="unreadable_job") from None
