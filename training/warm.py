"""Training that goes on from the shipped weights, or from another run's checkpoint: `--warm shipped`, `--warm FILE`.

A checkpoint under training/runs is not kept with the repository; what is shipped is all that it takes, but for the
optimiser's state.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

SHIPPED = "shipped"
WEIGHTS = Path("deployments/families/small/weights/small.safetensors")
ENCODER = Path("training/weights/encoder.safetensors")


def codec_state(source: str) -> dict[str, Tensor]:
    """State of a `Codec`; of what is shipped, without the helper head, and the encoder if it is there."""
    if source != SHIPPED:
        return torch.load(source)["net"]
    tensors = {**load_file(WEIGHTS), **(load_file(ENCODER) if ENCODER.exists() else {})}
    return {name: value.float() for name, value in tensors.items() if not name.startswith("gpt.")}


def gpt_state(source: str) -> dict[str, Tensor]:
    """State of a `StructuredGpt`. What is shipped is merged: the tables by level begin again at nothing."""
    if source != SHIPPED:
        return torch.load(source)["net"]
    return {
        name.removeprefix("gpt."): value.float()
        for name, value in load_file(WEIGHTS).items()
        if name.startswith("gpt.")
    }


def warm(net: nn.Module, state: dict[str, Tensor]) -> None:
    """Takes over what `state` has in common with the net; of tensors of other sizes, a corner."""
    own = net.state_dict()
    for name, value in state.items():
        if name in own and own[name].dim() == value.dim():
            corner = tuple(slice(min(a, b)) for a, b in zip(own[name].shape, value.shape, strict=True))
            own[name][corner] = value[corner]
