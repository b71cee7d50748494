"""Our options: one strict model per section, read from `args` of a Serve config file, with an environment override.

Ray Serve ignores unknown keys at every level, so the whole file is checked here before Ray sees it (config_file.py).
An environment variable CHORALE_<SECTION>__<KEY> (or CHORALE_<KEY>) wins over the file: CHORALE_GPT__SLOTS=4.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from deployments.errors import ConfigError

log = logging.getLogger(__name__)

PREFIX = "CHORALE_"

Positive = Annotated[int, Field(gt=0)]
Cpus = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Location = tuple[str | int, ...]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class FamilySettings(Section):
    name: str = "small"
    options: dict[str, Any] = {}


class DeviceSettings(Section):
    """`half`: half precision, true and false force it; `threads`: CPU threads of one model replica."""

    preference: Literal["auto", "musa", "cuda", "cpu"] = "auto"
    half: Literal["auto"] | bool = "auto"
    threads: Positive = 1


class Autoscaling(Section):
    min_replicas: Annotated[int, Field(ge=0)] = 1
    max_replicas: Positive = 2
    upscale_delay_s: Annotated[float, Field(ge=0)] = 5.0
    downscale_delay_s: Annotated[float, Field(ge=0)] = 60.0
    look_back_period_s: Seconds = 10.0
    metrics_interval_s: Seconds = 2.0

    @model_validator(mode="after")
    def ordered(self) -> Autoscaling:
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas ({self.max_replicas}) is below min_replicas ({self.min_replicas})"
            )
        return self


class Scaled(Section):
    """`replicas` is a fixed number; `autoscaling` replaces it."""

    replicas: Positive = 1
    autoscaling: Autoscaling | None = None
    num_cpus: Cpus = 0.1
    num_gpus: Cpus = 0.0

    @model_validator(mode="after")
    def one_of(self) -> Scaled:
        if self.autoscaling is not None and "replicas" in self.model_fields_set:
            raise ValueError("give either replicas or autoscaling, not both")
        return self

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest number of replicas."""
        if self.autoscaling is None:
            return self.replicas, self.replicas
        return self.autoscaling.min_replicas, self.autoscaling.max_replicas


class LeasedSettings(Scaled):
    """`max_queue`: waiting items before a request is refused with 429; None is ten times the slots."""

    max_queue: Positive | None = None
    lease_s: Seconds = 10.0
    stuck_after_s: Seconds = 60.0
    graceful_shutdown_s: Seconds = 60.0


class GptSettings(LeasedSettings):
    """`first_emit`, `emit_every`: codes in the first run that is sent on, and in the later ones.

    The first, if not given: what the family's vocoder needs for its first chunk, context included.
    """

    slots: Annotated[int, Field(gt=0, le=256)] = 8
    num_cpus: Cpus = 0.5
    first_emit: Positive | None = None
    emit_every: Positive = 16


class VocoderSettings(LeasedSettings):
    max_batch: Annotated[int, Field(gt=0, le=256)] = 8
    num_cpus: Cpus = 0.3


class VoiceEncoderSettings(Scaled):
    """`cache_size`: voice prompts that a replica keeps, by the content of the reference."""

    cache_size: Annotated[int, Field(ge=0)] = 64


class IngressSettings(Section):
    """`window`: segments of a request in work ahead of the one that is heard; `voice_cache`: prompts kept."""

    replicas: Positive = 1
    num_cpus: Cpus = 0.2
    max_ongoing_requests: Positive = 256
    voice_cache: Positive = 256
    window: Positive = 3


class Limits(Section):
    max_input_chars: Positive = 5000
    max_upload_bytes: Positive = 10 * 2**20


class SamplingSettings(Section):
    """What is left out is the family's own default."""

    seed: Annotated[int, Field(ge=0)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    max_tokens: Positive | None = None


class Settings(Section):
    """Everything that can be configured. `optimize`: CUDA graphs where they can run; false is plain eager."""

    family: FamilySettings = FamilySettings()
    device: DeviceSettings = DeviceSettings()
    optimize: bool = True
    use_vocoder_optimization: bool = True
    vocoder_chunk_size: Positive = 500
    gpt: GptSettings = GptSettings()
    vocoder: VocoderSettings = VocoderSettings()
    text_frontend: Scaled = Scaled()
    voice_encoder: VoiceEncoderSettings = VoiceEncoderSettings()
    ingress: IngressSettings = IngressSettings()
    limits: Limits = Limits()
    sampling: SamplingSettings = SamplingSettings()
    data_dir: str = "~/.local/share/chorale"

    @classmethod
    def from_args(cls, args: Mapping[str, Any] | None, environ: Mapping[str, str] | None = None) -> Settings:
        """Checks `args` and lays the environment over them. Raises ConfigError that names every wrong key."""
        try:
            return cls.checked(args, environ)
        except ValidationError as error:
            raise ConfigError(
                "\n".join(f"{dotted(loc)}: {text}" for loc, text in problems(error, cls))
            ) from None

    @classmethod
    def checked(cls, args: Mapping[str, Any] | None, environ: Mapping[str, str] | None = None) -> Settings:
        """As `from_args`, raising pydantic's ValidationError with locations."""
        return cls.model_validate(overlay(cls, args or {}, os.environ if environ is None else environ))

    def to_args(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)

    @property
    def hash(self) -> str:
        """SHA-256 of all values, defaults included."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()


def overlay(model: type[BaseModel], args: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """A copy of `args` with the values of CHORALE_… variables laid over it."""
    merged = {key: dict(value) if isinstance(value, Mapping) else value for key, value in args.items()}
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        path = name.removeprefix(PREFIX).lower().split("__")
        if path[0] not in model.model_fields:
            log.debug("%s names no setting", name)
            continue
        target: dict[str, Any] = merged
        for key in path[:-1]:
            inner = target.get(key)
            target[key] = target = dict(inner) if isinstance(inner, Mapping) else {}
        target[path[-1]] = _value(field_type(model, tuple(path)), environ[name])
    return merged


def _value(annotation: Any, text: str) -> Any:
    if annotation is str:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic models that a field's annotation speaks of, directly or in a union, a list or a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, Annotated, list, dict, tuple):
        for inner in get_args(annotation):
            yield from models_in(inner)


def field_type(model: type[BaseModel], path: Location) -> Any:
    """The annotation of the field at `path`, None where there is none."""
    annotation: Any = model
    for key in path:
        if isinstance(key, int):
            continue
        found = [inner.model_fields[key] for inner in models_in(annotation) if key in inner.model_fields]
        if not found:
            return None
        annotation = found[0].annotation
    return annotation


def problems(error: ValidationError, model: type[BaseModel]) -> list[tuple[Location, str]]:
    """(location, what is wrong and what is allowed) for every complaint of pydantic, a location once."""
    found: dict[Location, str] = {}
    for detail in error.errors():
        loc = _without_tags(model, detail["loc"])
        if detail["type"] == "extra_forbidden":
            owners = list(models_in(field_type(model, loc[:-1])))
            allowed = ", ".join(sorted(owners[0].model_fields)) if owners else "none"
            text = f"unknown key; allowed: {allowed}"
        else:
            given = detail.get("input")
            shown = (
                f" (is {given!r})"
                if not isinstance(given, (dict, list)) and detail["type"] != "missing"
                else ""
            )
            text = detail["msg"].removeprefix("Value error, ") + shown
        found[loc] = f"{found[loc]}, or: {text}" if loc in found else text
    return list(found.items())


def _without_tags(model: type[BaseModel], loc: Location) -> Location:
    """pydantic's location without the names that it adds for the branches of a union."""
    while (
        loc
        and isinstance(loc[-1], str)
        and field_type(model, loc) is None
        and field_type(model, loc[:-1]) is not None
    ):
        owners = list(models_in(field_type(model, loc[:-1])))
        if owners:
            break
        loc = loc[:-1]
    return loc


def dotted(loc: Location) -> str:
    """("a", 0, "b") -> a[0].b"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".") or "(the whole)"
