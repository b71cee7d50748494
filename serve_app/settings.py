"""Our options: one strict model per section, read from `args` of a Serve config file, with an environment override.

Ray Serve ignores unknown keys at every level, so the whole file is checked here before Ray sees it (config_file.py).
An environment variable CHORALE_<SECTION>__<KEY> (or CHORALE_<KEY>) wins over the file: CHORALE_GPT__SLOTS=4.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from deployments.contract.errors import ConfigError
from deployments.engine.device import cgroup
from serve_app.strict import dotted, overlay, problems


def _ascending(buckets: list[int]) -> list[int]:
    if not buckets or sorted(set(buckets)) != buckets:
        raise ValueError(f"must be ascending numbers, at least one, none twice (is {buckets})")
    return buckets


Positive = Annotated[int, Field(gt=0)]
Cpus = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Stage = Literal["gpt", "vocoder", "voice_encoder"]  # those that hold a model
Buckets = Annotated[list[Positive], AfterValidator(_ascending)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class FamilySettings(Section):
    name: str = "small"
    options: dict[str, Any] = {}


class DeviceSettings(Section):
    """`half`: half precision, true and false force it.

    `threads`: CPU threads of one model replica; "auto" shares this machine's CPUs out among them.
    """

    preference: Literal["auto", "musa", "cuda", "cpu"] = "auto"
    half: Literal["auto"] | bool = "auto"
    threads: Positive | Literal["auto"] = 1


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


class ModelSettings(Scaled):
    """`threads`: CPU threads of a replica; None is `device.threads`."""

    threads: Positive | None = None


class LeasedSettings(ModelSettings):
    """`max_queue`: requests that wait for a first slot before others get 429; None is ten times the slots."""

    max_queue: Positive | None = None
    lease_s: Seconds = 10.0
    stuck_after_s: Seconds = 60.0
    graceful_shutdown_s: Seconds = 60.0


class ChunkSettings(Section):
    """`first`: codes in a segment's first chunk, "whole" for as many as the longest has; `growth`: of the others."""

    first: Positive | Literal["whole"] = 10
    growth: Annotated[float, Field(ge=1, le=100)] = 2.0


class GptSettings(LeasedSettings):
    """emit_every: the most codes in a run that is sent on; one is also sent as soon as it completes a vocoder chunk.

    first_sound_first: with so many segments at work, those that have sounded stand aside for those that have not.
    first_segment_share: of a replica's slots, that first segments get at once, in the place of later segments.
    max_wait_s: a request that has waited this long for its first slot is refused with 429.
    slots: "auto" takes what the device's memory suggests. batch_buckets, length_buckets: the shapes that graphs
    are captured for; if not given, powers of two up to the slots, and doublings from 256 up to the context.
    """

    slots: Annotated[int, Field(gt=0, le=100_000)] | Literal["auto"] = 8
    batch_buckets: Buckets | None = None
    length_buckets: Buckets | None = None
    num_cpus: Cpus = 0.5
    emit_every: Positive = 16
    first_sound_first: Annotated[int, Field(ge=0, le=100_000)] = 0
    first_segment_share: Annotated[float, Field(ge=0, le=1)] = 0.25
    max_wait_s: Seconds = 30.0

    @field_validator("batch_buckets")
    @classmethod
    def end_at_slots(cls, buckets: list[int] | None, info: ValidationInfo) -> list[int] | None:
        return _ending_at(buckets, "slots", info)


class VocoderSettings(LeasedSettings):
    """batch_buckets, frame_buckets: the shapes that graphs are captured for, frames without their context."""

    max_batch: Annotated[int, Field(gt=0, le=256)] = 8
    batch_buckets: Buckets | None = None
    frame_buckets: Buckets | None = None
    num_cpus: Cpus = 0.3

    @field_validator("batch_buckets")
    @classmethod
    def end_at_max_batch(cls, buckets: list[int] | None, info: ValidationInfo) -> list[int] | None:
        return _ending_at(buckets, "max_batch", info)


def _ending_at(buckets: list[int] | None, key: str, info: ValidationInfo) -> list[int] | None:
    most = info.data.get(key)  # None where it is wrong itself
    if buckets is not None and most == "auto":
        raise ValueError(f"cannot be listed while {key} is auto: give {key} a number, or leave the list out")
    if buckets is not None and most is not None and buckets[-1] != most:
        raise ValueError(f"must end at {key}, {most} (is {buckets})")
    return buckets


class VoiceEncoderSettings(ModelSettings):
    """Voice prompts kept by the content of the reference: `cache_size` in a replica's memory, and on disk, for all
    replicas and over restarts, up to `disk_cache` of them and `disk_cache_bytes` together; 0 keeps none there.
    """

    cache_size: Annotated[int, Field(ge=0)] = 64
    disk_cache: Annotated[int, Field(ge=0)] = 10_000
    disk_cache_bytes: Annotated[int, Field(ge=0)] = 2**30


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
    """Everything that can be configured. `optimize`: graphs or programs where they can run; false is eager."""

    family: FamilySettings = FamilySettings()
    device: DeviceSettings = DeviceSettings()
    optimize: bool = True
    use_vocoder_optimization: bool = True
    vocoder_chunk_size: Annotated[int, Field(ge=20)] = 500
    chunks: ChunkSettings = ChunkSettings()
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

    def threads(self, stage: Stage, cpus: int | None = None) -> int:
        """CPU threads of a replica of `stage`, where "auto" shares `cpus` (those of this machine) out."""
        own, common = getattr(self, stage).threads, self.device.threads
        if own is None and common == "auto":
            return max(1, (cpus or cgroup.cpus()) // (self.gpt.bounds[1] + self.vocoder.bounds[1]))
        return own or int(common)

    def busy_threads(self) -> int:
        """CPU threads of all Gpt and Vocoder replicas: the voice encoder has nothing to do but for a new voice."""
        return self.threads("gpt") * self.gpt.bounds[1] + self.threads("vocoder") * self.vocoder.bounds[1]

    def device_of(self, stage: Stage) -> dict[str, Any]:
        """`device` as a replica of `stage` takes it."""
        return {**self.device.model_dump(), "threads": self.threads(stage)}
