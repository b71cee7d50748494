"""Our options: one strict model per section, read from `args` of a Serve config file, with an environment override.

Ray Serve ignores unknown keys at every level, so the whole file is checked here before Ray sees it (config/file.py).
An environment variable CHORALE_<SECTION>__<KEY> (or CHORALE_<KEY>) wins over the file: CHORALE_GPT__SLOTS=4.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from pydantic import Field, StringConstraints, ValidationError, field_validator

from deployments.assembly import threads
from deployments.contract.errors import ConfigError, NotFound
from deployments.contract.options import (
    FamilyOptions,
    ModelOptions,
    ModelSection,
    Options,
    Positive,
    Seconds,
)
from deployments.families import FAMILIES
from serve_app.config.access import AccessSettings
from serve_app.config.jobs import JobsSettings
from serve_app.config.origins import HttpSettings
from serve_app.config.stages import (
    Cpus,
    GptSettings,
    LogOptions,
    Replicated,
    TextFrontendSettings,
    VocoderSettings,
    VoiceEncoderSettings,
)
from serve_app.config.strict import Location, as_variable, dotted, from_variable, overlay, problems, refusal

# Separators stand alone, so that a name's variable (see strict.as_variable) never contains the "__" between keys.
ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=64)]

Kind = TypeVar("Kind", bound=Options)


class IngressSettings(Replicated):
    """`window`: segments of a request in progress at once; `voice_cache`: voice prompts kept in memory.

    `graceful_shutdown_s`: streams in progress may continue for as long when the ingress is stopped.
    """

    num_cpus: Cpus = 0.2
    graceful_shutdown_s: Seconds = 60.0
    max_ongoing_requests: Positive = 256
    voice_cache: Positive = 256
    window: Positive = 3

    @property
    def surge_percent(self) -> int:
        """Serve's max_surge_percent: a roll-out starts one more before it stops one, if a node may have one more."""
        return 0 if self.max_replicas_per_node else max(1, 100 // self.bounds[1])


class Limits(Options):
    max_input_chars: Positive = 100_000
    max_upload_bytes: Positive = 10 * 2**20
    max_voices: Annotated[int, Field(ge=0)] = 1000  # uploaded ones


class ModelSettings(ModelSection):
    """One model: its options, and how its stages are deployed."""

    gpt: GptSettings = GptSettings()
    vocoder: VocoderSettings = VocoderSettings()
    voice_encoder: VoiceEncoderSettings = VoiceEncoderSettings()
    text_frontend: TextFrontendSettings = TextFrontendSettings()

    @property
    def hash(self) -> str:
        """SHA-256 of all values, defaults included."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()

    def stage_options(self, data: Path, name: str = "") -> ModelOptions:
        """The options of the stages, without those of their deployment. data: the data folder; name: the model's."""
        busy = self.gpt.bounds[1] + self.vocoder.bounds[1]
        return _part(ModelOptions, self, name=name, prompts=str(data / "prompts"), busy_replicas=busy)

    @property
    def stage_cpus(self) -> float:
        """Ray's logical CPUs for the largest numbers of replicas."""
        stages = (self.gpt, self.vocoder, self.voice_encoder, self.text_frontend)
        schedulers = self.gpt.scheduler_cpus + self.vocoder.scheduler_cpus
        return sum(stage.num_cpus * stage.bounds[1] for stage in stages) + schedulers

    def busy_threads(self) -> int:
        """CPU threads of all Gpt and Vocoder replicas. The voice encoder only works when a voice is new."""
        options = self.stage_options(Path())
        return sum(threads(options, stage) * getattr(self, stage).bounds[1] for stage in ("gpt", "vocoder"))


class NamedModel(ModelSettings):
    """One of several models: its family has no default."""

    family: FamilyOptions = Field(FamilyOptions(), validate_default=True)

    @field_validator("family")
    @classmethod
    def named(cls, family: FamilyOptions) -> FamilyOptions:
        if "name" not in family.model_fields_set:
            raise ValueError(f"a model needs family.name: {', '.join(FAMILIES)}")
        return family


class ServiceSettings(Options):
    """The settings that all models of a service share."""

    ingress: IngressSettings = IngressSettings()
    limits: Limits = Limits()
    http: HttpSettings = HttpSettings()
    jobs: JobsSettings = JobsSettings()
    logs: LogOptions = LogOptions()
    access: AccessSettings = AccessSettings()
    data_dir: str = "~/.local/share/chorale"

    @field_validator("data_dir")
    @classmethod
    def folder(cls, path: str) -> str:
        try:
            Path(path).expanduser()
        except RuntimeError:
            raise ValueError("must not begin with ~ and the name of an unknown user") from None
        if not path or "\0" in path:
            raise ValueError("must be the path of a folder")
        return path

    @property
    def data(self) -> Path:
        return Path(self.data_dir).expanduser()

    @property
    def jobs_database(self) -> str:
        """A database URL."""
        return self.jobs.database or f"sqlite:///{self.data.absolute() / 'jobs' / 'jobs.db'}"

    @property
    def jobs_audio(self) -> str:
        """A folder, or a URL for fsspec."""
        return self.jobs.audio or str(self.data.absolute() / "jobs")


class ModelArgs(ModelSettings):
    """The `args` of the application of one model."""

    name: str
    data_dir: str
    logs: LogOptions = LogOptions()


class Settings(ServiceSettings, ModelSettings):
    """One model at the top level, or several under `models`. default_model: for requests that name none or OpenAI's."""

    models: Annotated[dict[ModelName, NamedModel], Field(min_length=1)] | None = None
    default_model: str | None = None

    @field_validator("models")
    @classmethod
    def distinct(cls, models: dict[str, NamedModel] | None) -> dict[str, NamedModel] | None:
        spelled: dict[str, str] = {}
        for name in models or ():
            if (other := spelled.setdefault(as_variable(name), name)) != name:
                raise ValueError(f"{other} and {name} would have the same environment variables: rename one")
        return models

    @classmethod
    def from_args(cls, args: Mapping[str, Any] | None, environ: Mapping[str, str] = os.environ) -> Settings:
        """Raises ConfigError that names every wrong key, and the variable that set it."""
        try:
            return cls.checked(args, environ)
        except ValidationError as error:
            faults = problems(error, cls)
            lines = [from_variable(loc, said, environ) or f"{dotted(loc)}: {said}" for loc, said in faults]
            raise ConfigError("\n".join(lines)) from None

    @classmethod
    def checked(cls, args: Mapping[str, Any] | None, environ: Mapping[str, str]) -> Settings:
        """Lays the environment over `args`. Raises pydantic's ValidationError, with locations."""
        merged = overlay(cls, args or {}, environ)
        if faults := _contradictions(merged):
            raise refusal(cls, faults)
        return cls.model_validate(merged)

    def to_args(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)

    @property
    def served(self) -> dict[str, ModelSettings]:
        """The models by the name that requests give, in the file's order."""
        if self.models is not None:
            return dict(self.models)
        return {f"chorale-{self.family.name.replace('_', '-')}": self}

    @property
    def default(self) -> str:
        return self.default_model or next(iter(self.served))

    def name(self, model: str | None) -> str:
        """The name of a model, None for the default one. Raises NotFound (param "model"), which lists the models."""
        if model is None or model in self.served:
            return model or self.default
        raise NotFound(f"model {model!r} does not exist; available: {', '.join(self.served)}", param="model")

    @property
    def reserved_cpus(self) -> float:
        """Ray's logical CPUs for the largest numbers of replicas of all models.

        With one ingress more, because a roll-out starts the new one first.
        """
        own = self.ingress.num_cpus * (self.ingress.bounds[1] + 1) + self.jobs.num_cpus
        return round(own + sum(model.stage_cpus for model in self.served.values()), 6)

    def place(self, model: str) -> Location:
        """The location of a model's options in `args`."""
        return () if self.models is None else ("models", model)

    def options(self, model: str | None = None) -> ModelOptions:
        """The options of a model's stages. model: None is the default one."""
        name = self.name(model)
        return self.served[name].stage_options(self.data, name)

    def service(self) -> ServiceSettings:
        """Without the models."""
        return _part(ServiceSettings, self)

    def model_args(self, model: str) -> ModelArgs:
        logs = {"logs": self.logs} if "logs" in self.model_fields_set else {}
        return _part(ModelArgs, self.served[model], name=model, data_dir=self.data_dir, **logs)


def _contradictions(args: Mapping[str, Any]) -> dict[Location, str]:
    """The faults that concern several keys: one model or several, and the default model."""
    models, default = args.get("models"), args.get("default_model")
    if models is None:
        return {} if default is None else {("default_model",): "allowed with `models` only"}
    both = sorted(args.keys() & ModelSettings.model_fields)
    faults: dict[Location, str] = {(key,): "not allowed beside `models`: set it for a model" for key in both}
    if default is not None and isinstance(models, Mapping) and default not in list(models):
        faults["default_model",] = f"must be one of {', '.join(map(str, models))} (is {default!r})"
    return faults


def _part(kind: type[Kind], settings: Options, **more: Any) -> Kind:
    """The fields of `settings` that `kind` has too and that were given; a section becomes a section of `kind`."""
    for name in settings.model_fields_set & kind.model_fields.keys() - more.keys():
        value, wanted = getattr(settings, name), cast(Any, kind.model_fields[name].annotation)
        wider = isinstance(wanted, type) and isinstance(value, wanted) and type(value) is not wanted
        more[name] = _part(wanted, value) if wider else value
    return kind(**more)
