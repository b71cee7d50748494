"""The sections of a model's stages: how each is deployed, in addition to its own options."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from deployments.contract.options import (
    GptOptions,
    Options,
    Positive,
    Seconds,
    StageOptions,
    VocoderOptions,
    VoiceEncoderOptions,
)

Replicas = Annotated[int, Field(gt=0, le=1000)]
Cpus = Annotated[float, Field(ge=0, le=10_000)]
Delay = Annotated[float, Field(ge=0, le=1_000_000)]


class LogOptions(Options):
    """Of the deployments' logs. format: None is Ray's RAY_SERVE_LOG_ENCODING, which is text unless set."""

    format: Literal["text", "json"] | None = None
    level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def serve(self) -> dict[str, str]:
        """The values of Serve's logging_config."""
        encoding = {"encoding": self.format.upper()} if self.format else {}
        return {"log_level": self.level.upper(), **encoding}


class Autoscaling(Options):
    min_replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    max_replicas: Replicas = 2
    upscale_delay_s: Delay = 5.0
    downscale_delay_s: Delay = 60.0
    look_back_period_s: Seconds = 10.0
    metrics_interval_s: Seconds = 2.0

    @model_validator(mode="after")
    def ordered(self) -> Autoscaling:
        least, most = self.min_replicas, self.max_replicas
        if most < least:
            raise ValueError(f"max_replicas ({most}) is below min_replicas ({least})")
        return self


class Scaled(Options):
    """`replicas` is a fixed number; `autoscaling` replaces it."""

    replicas: Replicas = 1
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
        scale = self.autoscaling
        return (scale.min_replicas, scale.max_replicas) if scale else (self.replicas, self.replicas)


class LeasedSettings(Scaled):
    """`max_queue`: requests that may wait for a first slot, others get 429; None is one for each slot."""

    max_queue: Positive | None = None
    lease_s: Seconds = 10.0
    graceful_shutdown_s: Seconds = 60.0
    scheduler_cpus: ClassVar[float] = 0.1


class GptSettings(LeasedSettings, GptOptions):
    """`max_wait_s`: a request that has waited this long for its first slot is rejected with 429.

    `max_start_s`: instead, while no replica runs. `max_backlog`: instead of `max_queue`, while replicas are missing,
    which start, are replaced or are added; None is ten times the slots.
    """

    num_cpus: Cpus = 0.5
    max_backlog: Positive | None = None
    max_wait_s: Seconds = 30.0
    max_start_s: Seconds = 120.0


class VocoderSettings(LeasedSettings, VocoderOptions):
    num_cpus: Cpus = 0.3


class VoiceEncoderSettings(Scaled, VoiceEncoderOptions):
    num_cpus: Cpus = 0.2


class TextFrontendSettings(Scaled, StageOptions):
    """`num_gpus` and `threads` are for a family whose frontend runs a model."""
