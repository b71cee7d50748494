"""Checks a family's options, which come from a config file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from deployments.contract.errors import ConfigError

Options = TypeVar("Options", bound=BaseModel)


def checked(model: type[Options], options: Mapping[str, Any]) -> Options:
    """Validates the options. Raises ConfigError, which names the first wrong key, its fault and the allowed keys."""
    try:
        return model(**options)
    except ValidationError as error:
        first, allowed = error.errors()[0], ", ".join(model.model_fields)
        key = ".".join(["family.options", *map(str, first["loc"])])
        raise ConfigError(f"{key}: {first['msg']}; allowed: {allowed}") from None
