"""Our options: one strict model per section, read from `args` of a Serve config file, with an environment override.

Ray Serve ignores unknown keys at every level, so the whole file is checked here before Ray sees it (config_file.py).
An environment variable CHORALE_<SECTION>__<KEY> (or CHORALE_<KEY>) wins over the file: CHORALE_GPT__SLOTS=4.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator

from deployments.assembly import threads
from deployments.contract.errors import ConfigError
from deployments.contract.options import (
    GptOptions,
    ModelOptions,
    ModelSection,
    Options,
    Positive,
    Seconds,
    StageOptions,
    VocoderOptions,
    VoiceEncoderOptions,
)
from serve_app.config.strict import dotted, from_variable, overlay, problems


def _path(text: str) -> str:
    try:
        Path(text).expanduser()
    except RuntimeError:
        raise ValueError("must not begin with ~ and the name of an unknown user") from None
    if not text or "\0" in text:
        raise ValueError("must be the path of a folder")
    return text


Replicas = Annotated[int, Field(gt=0, le=1000)]
Cpus = Annotated[float, Field(ge=0, le=10_000)]
Delay = Annotated[float, Field(ge=0, le=1_000_000)]


Stage = TypeVar("Stage", bound=Options)


class Autoscaling(Options):
    min_replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    max_replicas: Replicas = 2
    upscale_delay_s: Delay = 5.0
    downscale_delay_s: Delay = 60.0
    look_back_period_s: Seconds = 10.0
    metrics_interval_s: Seconds = 2.0

    @model_validator(mode="after")
    def ordered(self) -> Autoscaling:
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas ({self.max_replicas}) is below min_replicas ({self.min_replicas})"
            )
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
        if self.autoscaling is None:
            return self.replicas, self.replicas
        return self.autoscaling.min_replicas, self.autoscaling.max_replicas


class LeasedSettings(Scaled):
    """`max_queue`: requests that wait for a first slot before others get 429; None is ten times the slots."""

    max_queue: Positive | None = None
    lease_s: Seconds = 10.0
    graceful_shutdown_s: Seconds = 60.0


class GptSettings(LeasedSettings, GptOptions):
    """max_wait_s: a request that has waited this long for its first slot is refused with 429."""

    num_cpus: Cpus = 0.5
    max_wait_s: Seconds = 30.0


class VocoderSettings(LeasedSettings, VocoderOptions):
    num_cpus: Cpus = 0.3


class VoiceEncoderSettings(Scaled, VoiceEncoderOptions):
    pass


class TextFrontendSettings(Scaled, StageOptions):
    """num_gpus, threads: for a family whose frontend runs a model."""


class IngressSettings(Options):
    """`window`: segments of a request in work ahead of the one that is heard; `voice_cache`: prompts kept."""

    replicas: Replicas = 1
    num_cpus: Cpus = 0.2
    max_ongoing_requests: Positive = 256
    voice_cache: Positive = 256
    window: Positive = 3


class Limits(Options):
    max_input_chars: Positive = 5000
    max_upload_bytes: Positive = 10 * 2**20
    max_voices: Annotated[int, Field(ge=0)] = 1000  # uploaded ones


class Settings(ModelSection):
    """Everything that can be configured."""

    gpt: GptSettings = GptSettings()
    vocoder: VocoderSettings = VocoderSettings()
    voice_encoder: VoiceEncoderSettings = VoiceEncoderSettings()
    text_frontend: TextFrontendSettings = TextFrontendSettings()
    ingress: IngressSettings = IngressSettings()
    limits: Limits = Limits()
    data_dir: Annotated[str, AfterValidator(_path)] = "~/.local/share/chorale"

    @classmethod
    def from_args(cls, args: Mapping[str, Any] | None, environ: Mapping[str, str] | None = None) -> Settings:
        """Checks `args` and lays the environment over them.

        Raises ConfigError that names every wrong key, and the variable that set it.
        """
        environ = os.environ if environ is None else environ
        try:
            return cls.checked(args, environ)
        except ValidationError as error:
            faults = problems(error, cls)
            told = (from_variable(loc, said, environ) or f"{dotted(loc)}: {said}" for loc, said in faults)
            raise ConfigError("\n".join(told)) from None

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

    @property
    def model_id(self) -> str:
        """The name that requests give."""
        return f"chorale-{self.family.name.replace('_', '-')}"

    @property
    def data(self) -> Path:
        return Path(self.data_dir).expanduser()

    @property
    def model(self) -> ModelOptions:
        """What the stages are made from, without what only their deployment needs."""
        whole = {name: getattr(self, name) for name in ModelSection.model_fields}
        return ModelOptions(
            **whole,
            text_frontend=_narrowed(StageOptions, self.text_frontend),
            gpt=_narrowed(GptOptions, self.gpt),
            vocoder=_narrowed(VocoderOptions, self.vocoder),
            voice_encoder=_narrowed(VoiceEncoderOptions, self.voice_encoder),
            prompts=str(self.data / "prompts"),
            busy_replicas=self.gpt.bounds[1] + self.vocoder.bounds[1],
        )

    def busy_threads(self) -> int:
        """CPU threads of all Gpt and Vocoder replicas: the voice encoder has nothing to do but for a new voice."""
        model = self.model
        return sum(threads(model, stage) * getattr(self, stage).bounds[1] for stage in ("gpt", "vocoder"))


def _narrowed(kind: type[Stage], section: Stage) -> Stage:
    """The options of a stage without those of its deployment."""
    return kind(**{name: getattr(section, name) for name in kind.model_fields})
