"""Reads a Serve config file strictly: Ray's part with Ray's own schema, our `args` with Settings; errors name lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema

from deployments.contract.errors import ConfigError
from serve_app.settings import Settings
from serve_app.strict import Location, dotted, models_in, problems

log = logging.getLogger(__name__)

IMPORT_PATH = "serve_app.app:build"
OURS = {  # keys of `deployments` entries that our args decide, because the schedulers must know them
    "num_replicas": "replicas",
    "autoscaling_config": "autoscaling",
    "max_ongoing_requests": None,
}


def default_config_path() -> Path:
    return Path(__file__).resolve().parent.parent / "configs" / "default.yaml"


def load_config(
    path: str | Path, environ: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], Settings]:
    """The Serve config as Ray takes it, and our settings out of it.

    Raises ConfigError whose message has one line per fault: file name, line number, key and what is allowed.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path.name}: cannot be read: {reason}") from None
    document = _Document(path.name, text)
    config = document.value
    if not isinstance(config, dict):
        raise document.error([((), "a Serve config file is a mapping that begins with `applications:`")])

    document.refuse(list(_unknown_keys(config, ServeDeploySchema, ())))
    try:
        ServeDeploySchema.model_validate(config)
    except ValidationError as error:
        raise document.error(problems(error, ServeDeploySchema)) from None
    applications = config["applications"]
    if len(applications) != 1 or applications[0]["import_path"].replace(".build", ":build") != IMPORT_PATH:
        raise document.error(
            [(("applications",), f"exactly one application is allowed, with import_path: {IMPORT_PATH}")]
        )
    document.refuse(list(_overridden(applications[0])))

    args = applications[0].get("args", {})
    try:
        settings = Settings.checked(args, environ)
    except ValidationError as error:
        raise document.error(
            [(("applications", 0, "args", *loc), said) for loc, said in problems(error, Settings)]
        ) from None
    log.info("%s: settings %s", path.name, settings.hash)
    return config, settings


def _unknown_keys(value: Any, annotation: Any, loc: Location) -> Iterator[tuple[Location, str]]:
    """Keys that Ray would ignore without a word."""
    models = list(models_in(annotation))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unknown_keys(inner, annotation, (*loc, index))
    elif isinstance(value, dict) and models:
        fields = {name: field for model in models for name, field in model.model_fields.items()}
        for key, inner in value.items():
            if key not in fields:
                yield (*loc, key), f"unknown key; allowed: {', '.join(sorted(fields))}"
            else:
                yield from _unknown_keys(inner, fields[key].annotation, (*loc, key))


def _overridden(application: dict[str, Any]) -> Iterator[tuple[Location, str]]:
    for index, deployment in enumerate(application.get("deployments", [])):
        for key, ours in OURS.items():
            if key in deployment:
                instead = f"set `{ours}` in the section of args" if ours else "the graph fixes it"
                yield ("applications", 0, "deployments", index, key), f"not allowed here: {instead}"


class _Document:
    """A YAML text with the line of every key and item."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.lines: dict[Location, int] = {}
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                self._walk(node, ())
            self.value = None if node is None else loader.construct_document(node)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{name}:{line}: not valid YAML: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{name}: not valid YAML: {error}") from None
        finally:
            loader.dispose()

    def _walk(self, node: yaml.Node, loc: Location) -> None:
        self.lines.setdefault(loc, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            for index, inner in enumerate(node.value):
                self._walk(inner, (*loc, index))
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, inner in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else str(key.tag)
                line = key.start_mark.line + 1
                if name in seen:
                    raise ConfigError(f"{self.name}:{line}: {dotted((*loc, name))}: this key is given twice")
                seen.add(name)
                self.lines[(*loc, name)] = line
                self._walk(inner, (*loc, name))

    def line(self, loc: Location) -> int:
        while loc not in self.lines and loc:
            loc = loc[:-1]
        return self.lines.get(loc, 1)

    def refuse(self, faults: list[tuple[Location, str]]) -> None:
        if faults:
            raise self.error(faults)

    def error(self, faults: list[tuple[Location, str]]) -> ConfigError:
        faults = sorted(faults, key=lambda fault: self.line(fault[0]))
        text = "\n".join(f"{self.name}:{self.line(loc)}: {dotted(loc)}: {said}" for loc, said in faults)
        return ConfigError(text, param=dotted(faults[0][0]))
