"""The sections of a model's stages: how each is deployed, in addition to its own options."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from deployments.contract.options import (
    GptOptions,
    Options,
    Positive,
    Seconds,
    StageOptions,
    VocoderOptions,
    VoiceEncoderOptions,
)

POLICY = "deployments.autoscaling:by_demand"  # not imported: it needs Ray
Replicas = Annotated[int, Field(gt=0, le=1000)]
Cpus = Annotated[float, Field(ge=0, le=10_000)]
Delay = Annotated[float, Field(ge=0, le=1_000_000)]
LABEL = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?")  # as Kubernetes spells them
LABEL_VALUE = re.compile(r"!?([\w.-]{1,63}|in\([\w.-]+(,[\w.-]+)*\))")


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
    """`target_utilization`: the share of what a replica does at once that should be in use on average.

    `downscale_to_zero_delay_s`: None is `downscale_delay_s`. `look_back_period_s`: for the average.
    """

    min_replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    max_replicas: Replicas = 2
    target_utilization: Annotated[float, Field(gt=0, le=1)] = 0.8
    upscale_delay_s: Delay = 5.0
    downscale_delay_s: Delay = 60.0
    downscale_to_zero_delay_s: Delay | None = None
    look_back_period_s: Seconds = 10.0
    metrics_interval_s: Seconds = 2.0

    @model_validator(mode="after")
    def ordered(self) -> Autoscaling:
        least, most = self.min_replicas, self.max_replicas
        if most < least:
            raise ValueError(f"max_replicas ({most}) is below min_replicas ({least})")
        return self

    def serve(self, at_once: int = 1) -> dict[str, Any]:
        """Serve's autoscaling_config of a deployment whose replicas take `at_once` queries at once."""
        own = self.model_dump(exclude={"target_utilization"})
        return {**own, "target_ongoing_requests": self.target_utilization * at_once}


class Replicated(Options):
    """`replicas` is a fixed number; `autoscaling` replaces it. `label_selector`: labels that the nodes must have."""

    can_sleep: ClassVar[bool] = False  # may have no replica: the first request waits for one

    replicas: Replicas = 1
    autoscaling: Autoscaling | None = None
    num_cpus: Cpus = 0.1
    max_replicas_per_node: Annotated[int, Field(gt=0, le=100)] | None = None
    label_selector: dict[str, str] = Field(default_factory=dict)

    @field_validator("label_selector")
    @classmethod
    def spelled(cls, selector: dict[str, str]) -> dict[str, str]:
        for label, value in selector.items():
            if not LABEL.fullmatch(label) or not LABEL_VALUE.fullmatch(value):
                said = 'must be labels with "VALUE", "!VALUE", "in(A,B)" or "!in(A,B)"'
                raise ValueError(f"{said}, not {label!r}: {value!r}")
        return selector

    @model_validator(mode="after")
    def one_of(self) -> Self:
        if self.autoscaling is not None and "replicas" in self.model_fields_set:
            raise ValueError("give either replicas or autoscaling, not both")
        if self.bounds[0] == 0 and not self.can_sleep:
            raise ValueError(
                "autoscaling.min_replicas must be at least 1: only gpt and vocoder may have none"
            )
        return self

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest number of replicas."""
        scale = self.autoscaling
        return (scale.min_replicas, scale.max_replicas) if scale else (self.replicas, self.replicas)

    @property
    def resources(self) -> dict[str, Any]:
        """Serve's ray_actor_options."""
        return {"num_cpus": self.num_cpus} | (
            {"label_selector": dict(self.label_selector)} if self.label_selector else {}
        )

    def deployment(self, at_once: int = 1) -> dict[str, Any]:
        """Serve's options of the deployment: number of replicas, resources, placement. at_once: see `Autoscaling`."""
        options: dict[str, Any] = {"num_replicas": self.replicas}
        if self.autoscaling is not None:
            options = {"autoscaling_config": self.autoscaling.serve(at_once)}
        if self.max_replicas_per_node is not None:
            options["max_replicas_per_node"] = self.max_replicas_per_node
        return {**options, "ray_actor_options": self.resources}


class Scaled(Replicated):
    """A stage of a model. `num_gpus`: a share of one GPU, or a whole number of them."""

    num_gpus: Cpus = 0.0

    @field_validator("num_gpus")
    @classmethod
    def share_or_whole(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError("must be a share of one GPU, 0 to 1, or a whole number")
        return value

    @property
    def resources(self) -> dict[str, Any]:
        return {**super().resources, "num_gpus": self.num_gpus}


class LeasedSettings(Scaled):
    """`max_queue`: requests that may wait for a first slot, others get 429; None is one for each slot, 10 at least."""

    can_sleep = True

    max_queue: Positive | None = None
    lease_s: Seconds = 10.0
    graceful_shutdown_s: Seconds = 60.0
    scheduler_cpus: ClassVar[float] = 0.1

    def deployment(self, at_once: int = 1) -> dict[str, Any]:
        options = super().deployment(at_once)
        if self.autoscaling is not None:
            options["autoscaling_config"]["policy"] = {"policy_function": POLICY}
        return {**options, "graceful_shutdown_timeout_s": self.graceful_shutdown_s}


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
