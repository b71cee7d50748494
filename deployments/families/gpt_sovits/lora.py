"""A fine-tuned v3 or v4 file that holds only what training changed: low-rank updates, and whole tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from deployments.contract.errors import CheckpointError

_WRAPPED, _OWN = "cfm.base_model.model.", "cfm."  # how the file and its base begin the same names
_A, _B = ".lora_A.default.weight", ".lora_B.default.weight"


def merged(base: Mapping[str, Tensor], lora: Mapping[str, Tensor], rank: int, file: str) -> dict[str, Tensor]:
    """The tensors of `base` with those of `lora` in their place, and B @ A added where it has two factors, in float32.

    Raises CheckpointError naming the first tensor that does not fit: a base of another version, or of another size.
    """
    whole = dict(base)
    for name, tensor in lora.items():
        own = name.replace(_WRAPPED, _OWN, 1)
        if name.endswith(_B):
            if name.removesuffix(_B) + _A not in lora:
                raise CheckpointError(f"{file}: {name} has no {_A[1:]} beside it")
        elif name.endswith(_A):
            target, up = own.removesuffix(_A) + ".weight", lora.get(name.removesuffix(_A) + _B)
            if up is None:
                raise CheckpointError(f"{file}: {name} has no {_B[1:]} beside it")
            update = _product(name, up, tensor, rank, file)
            whole[target] = _of_base(base, target, update, name, file).float() + update
        else:
            _of_base(base, own, tensor, name, file)
            whole[own] = tensor
    return whole


def _product(name: str, up: Tensor, down: Tensor, rank: int, file: str) -> Tensor:
    if up.dim() != 2 or down.dim() != 2 or up.shape[1] != rank or down.shape[0] != rank:
        raise CheckpointError(
            f"{file}: {name} is {tuple(down.shape)} and its partner {tuple(up.shape)}, lora_rank is {rank}"
        )
    return up.to(torch.float32) @ down.to(torch.float32)


def _of_base(base: Mapping[str, Tensor], target: str, tensor: Tensor, name: str, file: str) -> Tensor:
    if target not in base:
        raise CheckpointError(f"{file}: {name} belongs to {target}, which its base does not have")
    if base[target].shape != tensor.shape:
        have, wants = tuple(base[target].shape), tuple(tensor.shape)
        raise CheckpointError(f"{file}: {name} needs a base whose {target} is {wants}; here it is {have}")
    return base[target]
