"""Reads a Serve config file strictly: Ray's part with Ray's own schema, our `args` with Settings; errors name lines."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_origin

from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema

from serve_app.config.applications import deployment_names
from serve_app.config.document import ARGS, Document
from serve_app.config.settings import Settings
from serve_app.config.strict import Fault, Location, models_in, problems

log = logging.getLogger(__name__)

IMPORT_PATH = "serve_app.app:build"
OURS = {  # keys of `deployments` entries that follow from our args, because the schedulers must know them
    "num_replicas": "replicas",
    "autoscaling_config": "autoscaling",
    "max_ongoing_requests": None,
    "user_config": None,
}


def default_config_path() -> Path:
    return Path(__file__).resolve().parents[2] / "configs" / "default.yaml"


def load_config(path: str | Path, environ: Mapping[str, str] = os.environ) -> tuple[dict[str, Any], Settings]:
    """The Serve config as Ray takes it, and our settings. Raises ConfigError with file, line and key of each fault."""
    document = Document(path)
    config = document.value
    if not isinstance(config, dict):
        raise document.error([((), "a Serve config file must be a mapping with the key `applications`")])
    document.refuse(_unknown_keys(config, ServeDeploySchema, ()))
    try:
        schema = ServeDeploySchema.model_validate(config)
    except ValidationError as error:
        raise document.error(problems(error, ServeDeploySchema)) from None
    applications = config["applications"]
    if len(applications) != 1 or applications[0]["import_path"].replace(".build", ":build") != IMPORT_PATH:
        said = f"exactly one application is allowed, with import_path: {IMPORT_PATH}"
        raise document.error([(("applications",), said)])
    application = applications[0]
    document.refuse([*_overridden(application), *_out_of_range(schema)])
    config["http_options"] = schema.http_options.model_dump(exclude_unset=True)  # "8000" is a number now
    try:
        settings = Settings.checked(application.get("args"), environ)
    except ValidationError as error:
        faults = [((*ARGS, *loc), said) for loc, said in problems(error, Settings)]
        raise document.error(faults, environ) from None
    document.refuse(_wrong_names(application, settings))
    log.info("%s: settings %s", document.name, settings.hash)
    return config, settings


def _unknown_keys(value: Any, annotation: Any, loc: Location) -> Iterator[Fault]:
    """Keys that Ray would silently ignore."""
    models = list(models_in(annotation))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            if get_origin(annotation) is list and models and not isinstance(inner, dict):
                yield (*loc, index), "must be a mapping"
            yield from _unknown_keys(inner, annotation, (*loc, index))
    elif isinstance(value, dict) and models:
        fields = {name: field for model in models for name, field in model.model_fields.items()}
        for key, inner in value.items():
            if key not in fields:
                yield (*loc, key), f"unknown key; allowed: {', '.join(sorted(fields))}"
            else:
                yield from _unknown_keys(inner, fields[key].annotation, (*loc, key))


def _out_of_range(schema: ServeDeploySchema) -> Iterator[Fault]:
    """Values that Ray would reject only after its start, or never."""
    for section in ("http_options", "grpc_options"):
        options = getattr(schema, section)
        if options is not None and not 0 < options.port < 65536:
            yield (section, "port"), f"must be a port number, 1 to 65535 (is {options.port})"
    for key in ("request_timeout_s", "keep_alive_timeout_s"):
        value = getattr(schema.http_options, key)
        if value is not None and not 0 < value < 1e6:
            said = f"must be a number of seconds above 0 and below 1,000,000 (is {value})"
            yield ("http_options", key), said
    if not (schema.applications[0].route_prefix or "/").startswith("/"):
        yield ("applications", 0, "route_prefix"), "must begin with /"


def _overridden(application: dict[str, Any]) -> Iterator[Fault]:
    for index, deployment in enumerate(application.get("deployments", [])):
        for key, ours in OURS.items():
            if key in deployment:
                instead = f"set `{ours}` in that section of args" if ours else "the graph sets it"
                yield ("applications", 0, "deployments", index, key), f"not allowed here: {instead}"


def _wrong_names(application: dict[str, Any], settings: Settings) -> Iterator[Fault]:
    known = deployment_names(settings)
    for index, deployment in enumerate(application.get("deployments", [])):
        if deployment["name"] not in known:
            yield ("applications", 0, "deployments", index, "name"), f"must be one of {', '.join(known)}"
    name = application.get("name", "default")
    if name in settings.served:  # each model becomes an application of its name
        said = f"{name!r} is the name of a model: give the application another one"
        yield ("applications", 0, "name"), said
