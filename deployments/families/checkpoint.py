"""Reads published checkpoints. The files are untrusted: only tensors are loaded, and every mismatch is reported."""

import pickle
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from deployments.contract.errors import CheckpointError

Tensors = dict[str, Tensor]
Module = TypeVar("Module", bound=nn.Module)
NESTS = ("model", "generator", "state_dict")  # keys under which publishers keep the state dict


def read_tensors(path: Path, nests: Collection[str] = NESTS) -> Tensors:
    """The state dict of a .safetensors or torch file. In a torch file it may be nested under one of the keys `nests`.

    Torch files are read with `weights_only=True`, so a file that would run code is refused.
    Raises CheckpointError, which names the file (never its folder) and the fault.
    """
    name = path.name
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError:
        raise CheckpointError(f"{name}: not found in the model folder") from None
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{name}: refused: not a torch file, or it contains more than tensors (loading it would run code)"
        ) from None
    except Exception as error:  # a damaged file can make the unpickler raise anything
        kind = type(error).__name__
        raise CheckpointError(f"{name}: cannot be read: truncated, or not a checkpoint ({kind})") from None
    return _state_dict(content, name, nests)


def _state_dict(content: Any, name: str, nests: Collection[str]) -> Tensors:
    for nest in nests:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
            break
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{name}: does not contain a dictionary of tensors")
    wrong = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if wrong:
        raise CheckpointError(f"{name}: {wrong[0]} is not a tensor")
    return dict(content)


def part_of(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    """The tensors whose names begin with `prefix`, which is removed."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def fill(module: Module, tensors: Mapping[str, Tensor], file: str, prefix: str = "") -> Module:
    """Loads `tensors`, in the module's dtypes. Raises CheckpointError naming file, tensor and both shapes."""
    wanted = module.state_dict()
    check_shapes({name: tuple(tensor.shape) for name, tensor in wanted.items()}, tensors, file, prefix)
    module.load_state_dict({name: tensor.to(wanted[name].dtype) for name, tensor in tensors.items()})
    return module


def check_shapes(
    wanted: Mapping[str, Iterable[int]], tensors: Mapping[str, Tensor], file: str, prefix: str = ""
) -> None:
    """Raises ConfigError for the first name, in sorted order, that is missing, unexpected or has another shape."""
    for name in sorted(wanted.keys() | tensors.keys()):
        have = f"is {tuple(tensors[name].shape)}" if name in tensors else "is missing"
        need = f"wants {tuple(wanted[name])}" if name in wanted else "has no such tensor"
        if name not in tensors or name not in wanted or tuple(tensors[name].shape) != tuple(wanted[name]):
            raise CheckpointError(f"{file}: {prefix}{name} {have}, the config {need}")


def fold_weight_norm(tensors: Mapping[str, Tensor]) -> Tensors:
    """To float32; each pair `X.weight_g`, `X.weight_v` becomes `X.weight` = v g / |v|, by index of dimension 0."""
    folded = {name: tensor.float() for name, tensor in tensors.items()}
    for name in [name.removesuffix("_g") for name in folded if name.endswith(".weight_g")]:
        gain, value = folded[f"{name}_g"], folded.get(f"{name}_v")
        if value is not None and gain.shape == (len(value), *[1] * (value.dim() - 1)):
            del folded[f"{name}_g"], folded[f"{name}_v"]
            folded[name] = value * (gain / value.flatten(1).norm(dim=1).view_as(gain))
    return folded
