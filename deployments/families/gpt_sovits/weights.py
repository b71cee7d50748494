"""Tensors of the published files, made ready for the networks here."""

from collections.abc import Callable, Mapping
from typing import Self

import torch
from torch import Tensor, nn

from deployments.contract.errors import CheckpointError
from deployments.families.checkpoint import Module, fill, part_of


def without_weight_norm(tensors: Mapping[str, Tensor], file: str = "s2") -> dict[str, Tensor]:
    """Replaces each pair of `weight_g` and `weight_v` by its weight, g * v / |v|.

    g has a length above 1 only along the dimensions over which v is not normalised.
    """
    plain = {
        name: tensor for name, tensor in tensors.items() if not name.endswith((".weight_g", ".weight_v"))
    }
    for name, v in tensors.items():
        if name.endswith(".weight_v"):
            g = tensors.get(name[:-1] + "g")
            if g is None:
                raise CheckpointError(f"{file}: {name[:-1]}g is missing")
            reduced = [axis for axis in range(v.dim()) if g.shape[axis] == 1]
            norm = torch.linalg.vector_norm(v, dim=reduced, keepdim=True)
            plain[name.removesuffix("_v")] = g * (v / norm)
    return plain


class Shapes(dict[str, tuple[int, ...]]):
    """The shapes of a file's tensors under `prefix`, which is removed. A missing one raises CheckpointError."""

    def __init__(self, tensors: Mapping[str, Tensor], file: str, prefix: str = "") -> None:
        super().__init__(
            (name.removeprefix(prefix), tuple(tensor.shape))
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        )
        self._file, self._prefix = file, prefix

    def __missing__(self, name: str) -> tuple[int, ...]:
        raise CheckpointError(f"{self._file}: {self._prefix}{name} is missing")

    def part(self, prefix: str) -> Self:
        """Those whose names begin with `prefix` too."""
        part = type(self)({}, self._file, self._prefix + prefix)
        part.update(
            {name.removeprefix(prefix): shape for name, shape in self.items() if name.startswith(prefix)}
        )
        return part


def loaded(
    make: Callable[..., Module], tensors: Mapping[str, Tensor], file: str, prefix: str, *config: object
) -> Module:
    """make(shapes, *config), with the tensors of `file` whose names begin with `prefix`.

    Raises CheckpointError, which names the tensor, if they do not fit together.
    """
    shapes = Shapes(tensors, file, prefix)
    try:
        module = make(shapes, *config)
    except (
        ValueError,
        IndexError,
        RuntimeError,
    ) as error:  # a tensor of another rank, or sizes that do not fit
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{file}: the tensors {prefix}* do not fit together: {why}") from None
    return fill(module, part_of(tensors, prefix), file, prefix)


def linear_of(shapes: Shapes) -> nn.Linear:
    outputs, inputs = shapes["weight"]
    return nn.Linear(inputs, outputs)
