"""Tensors of the published files, made ready for the networks here."""

from collections.abc import Mapping

import torch
from torch import Tensor


def without_weight_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replaces each pair of `weight_g` and `weight_v` by its weight, g * v / |v|.

    g has a length above 1 only along the dimensions over which v is not normalised.
    """
    plain = {
        name: tensor for name, tensor in tensors.items() if not name.endswith((".weight_g", ".weight_v"))
    }
    for name, v in tensors.items():
        if name.endswith(".weight_v"):
            g = tensors[name[:-1] + "g"]
            reduced = [axis for axis in range(v.dim()) if g.shape[axis] == 1]
            norm = torch.linalg.vector_norm(v, dim=reduced, keepdim=True)
            plain[name.removesuffix("_v")] = g * (v / norm)
    return plain


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
