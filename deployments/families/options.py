"""Checks a family's options, which come from a config file."""

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
        allowed = ", ".join(model.model_fields)
        raise ConfigError(f"family.options.{fault(error)}; allowed: {allowed}") from None


def fault(error: ValidationError) -> str:
    """The first wrong key, and what is wrong with it."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
