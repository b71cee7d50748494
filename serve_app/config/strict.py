"""The faults in a strict model's input with their locations, and values laid over it from the environment."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from deployments import plain_yaml

log = logging.getLogger(__name__)

PREFIX = "CHORALE_"

Location = tuple[str | int, ...]
Fault = tuple[Location, str]  # the message names what is wrong and what is allowed


def overlay(model: type[BaseModel], args: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """A copy of `args` with the values of CHORALE_… variables laid over it."""
    merged = {key: dict(value) if isinstance(value, Mapping) else value for key, value in args.items()}
    for name, path in variables(environ):
        if path[0] not in model.model_fields:
            log.debug("%s does not name a setting", name)
            continue
        target: dict[str, Any] = merged
        for key in path[:-1]:
            key = next((given for given in target if as_variable(given) == key), key)
            inner = target.get(key)
            target[key] = target = dict(inner) if isinstance(inner, Mapping) else {}
        text = target[path[-1]] = environ[name]
        if field_type(model, path) is not str:
            with suppress(yaml.YAMLError):
                target[path[-1]] = plain_yaml.load(text)
    return merged


def as_variable(key: object) -> str:
    """A key as variables spell it, in lower case: "indextts-1.5" is indextts_1_5."""
    return str(key).replace("-", "_").replace(".", "_")


def variables(environ: Mapping[str, str]) -> list[tuple[str, tuple[str, ...]]]:
    """The CHORALE_… variables, each with the path of what it sets."""
    names = sorted(name for name in environ if name.startswith(PREFIX))
    return [(name, tuple(name.removeprefix(PREFIX).lower().split("__"))) for name in names]


def from_variable(loc: Location, said: str, environ: Mapping[str, str]) -> str | None:
    """A fault at `loc` of our settings in one line, where variables set what is wrong or a part of it, else None."""
    spelled = tuple(map(as_variable, loc))
    wholly = [name for name, path in variables(environ) if spelled[: len(path)] == path]
    partly = [name for name, path in variables(environ) if spelled and path[: len(spelled)] == spelled]
    names = wholly[-1:] or partly
    return f"{', '.join(names)}: {dotted(loc)}: {said}" if names else None


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic models in an annotation, which may be a union, a list or a mapping of them."""
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
        if (named := _values_of(annotation)) is not None:
            annotation = named
        else:
            found = [inner.model_fields[key] for inner in models_in(annotation) if key in inner.model_fields]
            annotation = found[0].annotation if found else None
    return annotation


def _values_of(annotation: Any) -> Any:
    """The model in a mapping of names to models; None for any other annotation."""
    inner = get_args(annotation)
    if get_origin(annotation) is dict:
        return inner[1] if any(models_in(inner[1])) else None
    return next(filter(None, map(_values_of, inner)), None)


def refusal(model: type[BaseModel], faults: Mapping[Location, str]) -> ValidationError:
    """An error as pydantic's own, for faults that concern several fields."""
    kinds = {loc: PydanticCustomError("refused", "{said}", {"said": said}) for loc, said in faults.items()}
    errors = [InitErrorDetails(type=kind, loc=loc, input={}) for loc, kind in kinds.items()]
    return ValidationError.from_exception_data(model.__name__, errors)


def problems(error: ValidationError, model: type[BaseModel]) -> list[Fault]:
    """(location, what is wrong and what is allowed) for every complaint of pydantic, a location once."""
    found: dict[Location, str] = {}
    for detail in error.errors():
        loc = _without_tags(model, detail["loc"])
        if detail["type"] == "extra_forbidden":
            owner = next(models_in(field_type(model, loc[:-1])), None)
            text = f"unknown key; allowed: {', '.join(sorted(owner.model_fields)) if owner else 'none'}"
        else:
            text = "; ".join(detail["msg"].removeprefix("Value error, ").splitlines())
            given = detail.get("input")
            if not isinstance(given, (dict, list, BaseModel)) and detail["type"] != "missing":
                text += f" (is {_shown(given)})"
        found[loc] = f"{found[loc]}, or: {text}" if loc in found else text
    return list(found.items())


def _without_tags(model: type[BaseModel], loc: Location) -> Location:
    """pydantic's location without the names that it adds for the branches of a union."""
    while loc and isinstance(loc[-1], str) and field_type(model, loc) is None:
        around = field_type(model, loc[:-1])
        if around is None or any(models_in(around)):
            break
        loc = loc[:-1]
    return loc


def dotted(loc: Location) -> str:
    """("a", 0, "b") -> a[0].b"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in loc)
    return text.removeprefix(".") or "(the whole)"


def _key(name: object) -> str:
    return name if isinstance(name, str) and name.isprintable() and len(name) <= 80 else _shown(name)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."
