"""The fields of GPT-SoVITS's own HTTP interface (api_v2), and the checks that it makes, in its order and words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from deployments.contract.errors import InvalidInput, printable
from serve_app.http.schemas import Finite, Text

FORMATS = {
    "wav": "wav",
    "raw": "pcm",
    "ogg": "opus",
    "aac": "aac",
}  # of `media_type`, as the encoders name them
CUTS = tuple(f"cut{method}" for method in range(6))
REQUIRED = ("ref_audio_path", "text", "text_lang", "prompt_lang")
# Fields that are controls, of the models that have them
CONTROLS = (
    "top_k", "top_p", "temperature", "repetition_penalty", "sample_steps", "fragment_interval", "text_split_method",
)  # fmt: skip
MODES = "the value of streaming_mode must be 0, 1, 2, 3(int) or true/false(bool)"


def _mode(value: object) -> int:
    """0 for one response, 1 to 3 for a stream, which are the same here."""
    named = {"true": 1, "false": 0, "0": 0, "1": 1, "2": 2, "3": 3}
    mode = named.get(str(value).strip().lower())
    if mode is None:
        raise ValueError(MODES)
    return mode


Words = Annotated[str, Field(max_length=2000)]
Name = Annotated[str, Field(max_length=4096)]
Language = Annotated[str, Field(max_length=32)]
Count = Annotated[int, Field(ge=1, le=2**31)]


class TtsFields(BaseModel):
    """GET and POST /tts. A field of None counts as missing.

    batch_size, batch_threshold, split_bucket, parallel_infer, overlap_length, min_chunk_length: accepted without
    effect, because the engine batches by itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Text
    text_lang: Language
    ref_audio_path: Name
    prompt_lang: Language
    aux_ref_audio_paths: list[Name] = Field([], max_length=16)
    prompt_text: Words = ""
    model: str | None = Field(None, min_length=1, max_length=128)
    top_k: int | None = None
    top_p: Finite | None = None
    temperature: Finite | None = None
    repetition_penalty: Finite | None = None
    text_split_method: str | None = None
    fragment_interval: Finite | None = None
    sample_steps: int | None = None
    super_sampling: bool = False
    speed_factor: Finite = Field(1.0, ge=0.25, le=4.0)
    seed: int = Field(-1, ge=-(2**63), le=2**63 - 1)  # a negative one is random
    media_type: str = "wav"
    streaming_mode: Annotated[int, BeforeValidator(_mode)] = 0
    batch_size: Count = 1
    batch_threshold: Finite = Field(0.75, ge=0, le=1)
    split_bucket: bool = True
    parallel_infer: bool = True
    overlap_length: Count = 2
    min_chunk_length: Count = 16

    @property
    def controls(self) -> dict[str, object]:
        """The controls that the request sets, with their values as the models take them."""
        found = {name: getattr(self, name) for name in CONTROLS}
        if self.text_split_method is not None:
            found["text_split_method"] = CUTS.index(self.text_split_method)
        return {name: value for name, value in found.items() if value is not None}


def check_values(fields: Mapping[str, Any]) -> None:
    """The published checks that need no model. Raises InvalidInput with the published message."""
    for name in REQUIRED:
        if fields.get(name) in (None, ""):
            raise InvalidInput(f"{name} is required", param=name, code="missing_required_parameter")
    media_type = fields.get("media_type")
    if media_type is not None and media_type not in tuple(FORMATS):  # it may be unhashable
        allowed = f"media_type: {_shown(media_type)} is not supported; allowed: {', '.join(FORMATS)}"
        raise InvalidInput(allowed, param="media_type")
    method = fields.get("text_split_method")
    if method is not None and method not in CUTS:
        allowed = f"text_split_method:{_shown(method)} is not supported; allowed: {', '.join(CUTS)}"
        raise InvalidInput(allowed, param="text_split_method")
    try:
        _mode(fields.get("streaming_mode") or 0)
    except ValueError:
        raise InvalidInput(MODES, param="streaming_mode") from None


def _shown(value: object) -> str:
    return printable(str(value), 40)
