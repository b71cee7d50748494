"""Model families by name. A family's module is imported only when it is used."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any

from deployments.contract.errors import ConfigError
from deployments.contract.family import Family

# name to module: every folder here with a `family.py` is a family
FAMILIES = {
    found.name: f"{__name__}.{found.name}.family"
    for found in iter_modules(__path__)
    if found.ispkg and find_spec(f"{__name__}.{found.name}.family")
}


def load(name: str, options: Mapping[str, Any] | None = None) -> Family:
    """The family `name`, which validates its options. Raises ConfigError for what is unknown or invalid."""
    if name not in FAMILIES:
        raise ConfigError(f"unknown family {name!r}; allowed: {', '.join(FAMILIES)}", param="family.name")
    return import_module(FAMILIES[name]).load(dict(options or {}))
