"""Folders of pretrained models as the transformers library stores them: config.json and a file of weights."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from deployments.contract.errors import CheckpointError
from deployments.families.options import fault

Config = TypeVar("Config", bound=BaseModel)
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def read_config(folder: Path, kind: type[Config]) -> Config:
    """config.json of `folder`. Raises CheckpointError, which names the file and the key."""
    try:
        return kind.model_validate(json.loads((folder / "config.json").read_text("utf-8")))
    except FileNotFoundError:
        raise CheckpointError(f"{folder.name}: config.json not found") from None
    except ValidationError as error:
        raise CheckpointError(f"{folder.name}/config.json: {fault(error)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder.name}/config.json: not JSON ({type(error).__name__})") from None


def weights_file(folder: Path) -> Path:
    """The file of weights in `folder`; where there is none, the name that it should have."""
    return next((folder / name for name in _WEIGHTS if (folder / name).is_file()), folder / _WEIGHTS[-1])
