"""The bodies of requests and responses: OpenAI's fields and our own. Unknown fields are rejected."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from serve_app.audio.encode import MEDIA_TYPES
from serve_app.http import foreign
from serve_app.voices.names import UNPACKED as MAX_NAME

AudioFormat = StrEnum("AudioFormat", list(MEDIA_TYPES))

MAX_SEED = 2**63 - 1
MAX_TOKENS = 8192
MAX_VOLUME = 10


def _speakable(text: str) -> str:
    """Cheap checks only. The text frontend decides whether the text can be spoken."""
    if not text.strip():
        raise ValueError("must not be empty: a text to speak")
    if any((ord(c) < 32 and c not in "\t\n\r\f\v") or c == "\x7f" for c in text):
        raise ValueError("must not contain control characters (only tab and line breaks are allowed)")
    if any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise ValueError("must be valid Unicode text (it contains a lone surrogate)")
    return text


Text = Annotated[str, AfterValidator(_speakable)]
AnyCase = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
Finite = Annotated[float, Field(allow_inf_nan=False)]


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorDetail(BaseModel):
    """param: the field at fault; code: the kind of error, for programs."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every error, as OpenAI's. The routes of other servers add their own fields."""

    error: ErrorDetail


class VoiceId(StrictModel):
    id: str = Field(min_length=1, max_length=MAX_NAME)


class SpeechBody(BaseModel):
    """POST /v1/audio/speech. `instructions` is accepted for compatibility and has no effect.

    Other fields are the model's controls, which the service checks. Fields of other servers are `foreign.FIELDS`.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    input: Text
    model: str = Field(min_length=1, max_length=128)
    voice: Annotated[str, Field(max_length=MAX_NAME)] | VoiceId | None = (
        None  # required without reference_audio
    )
    instructions: str | None = Field(None, max_length=4096)
    response_format: Annotated[AudioFormat, AnyCase] = AudioFormat("mp3")
    speed: Finite = Field(1.0, ge=0.25, le=4.0, strict=True)
    stream_format: Annotated[Literal["audio", "sse"], AnyCase] = "audio"
    stream: bool | None = Field(None, strict=True)
    word_timestamps: bool | None = Field(None, strict=True)
    sample_rate: Literal[16_000, 22_050, 24_000, 32_000, 44_100, 48_000] = 24_000
    volume_multiplier: Finite = Field(1.0, ge=0, le=MAX_VOLUME, strict=True)

    seed: int | None = Field(None, ge=0, le=MAX_SEED, strict=True)
    max_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS, strict=True)
    language: str | None = Field(None, min_length=1, max_length=32)
    reference_audio: str | None = Field(None, min_length=1)  # base64 or a data: URL
    reference_text: str | None = Field(None, max_length=2000)

    @property
    def waits(self) -> bool:
        """True if the client can wait for the whole: it did not ask for a stream."""
        if self.stream or self.stream_format == "sse":
            return False
        return self.stream is False or "stream_format" not in self.model_fields_set

    @property
    def whole(self) -> bool:
        """True if the response is sent at once: on request, and FLAC, whose header states the length."""
        return self.waits and (self.stream is False or self.response_format == "flac")


class ReadBody(StrictModel):
    """POST /v1/audio/read."""

    input: Text
    model: str | None = Field(None, min_length=1, max_length=128)
    language: str | None = Field(None, min_length=1, max_length=32)


class Reading(BaseModel):
    """A segment as it will be spoken. spoken: its words, as text; phones: or pieces of words; pause_after: seconds."""

    text: str
    spoken: str
    phones: str
    pause_after: float


class ReadingList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Reading]


class CachedVoiceQuery(BaseModel):
    """GET and POST /tts_with_cached_voice. Other fields are the model's controls, as text."""

    model_config = ConfigDict(extra="allow", frozen=True)

    voice_name: str = Field(min_length=1, max_length=MAX_NAME)
    text: Text
    text_lang: str | None = Field(None, min_length=1, max_length=32)
    speed_factor: Finite = Field(1.0, ge=0.25, le=4.0)
    seed: int | None = Field(None, ge=0, le=MAX_SEED)


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of `model` without references, which OpenAPI would resolve elsewhere."""
    schema = model.model_json_schema()
    inner = schema.pop("$defs", {})

    def resolve(part: Any) -> Any:
        match part:
            case {"$ref": str(name)}:
                return resolve(inner[name.rpartition("/")[2]])
            case dict():
                return {key: resolve(value) for key, value in part.items()}
            case list():
                return [resolve(value) for value in part]
        return part

    return resolve(schema)


def _ranges(*models: type[BaseModel]) -> dict[str, str]:
    """The allowed values of every numeric field in words, from the models themselves."""
    words = {}
    for model in models:
        for name, schema in model.model_json_schema()["properties"].items():
            for arm in schema.get("anyOf", [schema]):
                if arm.get("type") in ("number", "integer") and "enum" not in arm:
                    noun = "an integer" if arm["type"] == "integer" else "a number"
                    high = arm["maximum"] if arm["type"] == "integer" else f"{arm['maximum']:g}"
                    words[name] = f"must be {noun} from {arm['minimum']:g} to {high}"
    return words


RANGES = _ranges(SpeechBody, CachedVoiceQuery)
RANGES |= {field.name: RANGES[field.becomes] for field in foreign.FIELDS if field.becomes in RANGES}


class ModelCard(BaseModel):
    """OpenAI's fields and our own. The fields after `reason` are None until the model is ready."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "chorale"
    default: bool
    alias_of: str | None = None
    state: Literal["starting", "ready", "failed"]
    reason: str | None = None  # why it failed, or has fewer replicas than configured
    family: str | None = None
    languages: list[str] | None = None
    sample_rate: int | None = None  # Hz
    controls: dict[str, dict[str, Any]] | None = None  # JSON Schema by name: what a request may set


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelCard]


class AudioModelList(ModelList):
    """Open WebUI reads `models`."""

    models: list[ModelCard]


class VoiceCard(BaseModel):
    id: str
    object: Literal["audio.voice"] = "audio.voice"
    type: Literal["audio_sample"] = "audio_sample"
    created_at: int
    name: str
    language: str | None = None
    gender: str | None = None
    description: str | None = None
    transcript: str | None = None
    consent: str | None = None
    shipped: bool
    aliases: list[str] = []
    warnings: list[str] = []  # problems of the recording


class VoiceName(BaseModel):
    id: str
    name: str
    language: str | None = None
    gender: str | None = None


class VoiceList(BaseModel):
    """Home Assistant reads `data`; Open WebUI and clients of Kokoro-FastAPI read `voices`."""

    object: Literal["list"] = "list"
    data: list[VoiceCard]
    voices: list[VoiceName]


class VoiceDeleted(BaseModel):
    id: str
    object: Literal["audio.voice.deleted"] = "audio.voice.deleted"
    deleted: bool = True
