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
# the codec's encoder and the phone recogniser: nothing that speaks needs them
PARTS = Path("training/weights/parts.safetensors")


def codec_state(source: str) -> dict[str, Tensor]:
    """State of a `Codec`; of what is shipped, without the helper head."""
    if source != SHIPPED:
        return torch.load(source)["net"]
    tensors = {**load_file(WEIGHTS), **load_file(PARTS)}
    return {name: value.float() for name, value in tensors.items()}


def phone_state(source: str) -> dict[str, Tensor]:
    """State of a `PhoneNet`."""
    return torch.load(source)["net"] if source != SHIPPED else _shipped(PARTS, "recogniser.")


def gpt_state(source: str) -> dict[str, Tensor]:
    """State of a `StructuredGpt`; what is shipped is merged and has no tables by level."""
    if source != SHIPPED:
        return torch.load(source)["net"]
    return _shipped(WEIGHTS, "gpt.")


def _shipped(file: Path, part: str) -> dict[str, Tensor]:
    return {k.removeprefix(part): v.float() for k, v in load_file(file).items() if k.startswith(part)}


def whole(net: nn.Module, state: dict[str, Tensor], but: str = "mel_head.") -> None:
    """All of a net from `state`, which may lack what begins with `but`.

    Raises ValueError where it lacks something else, or has it in another size.
    """
    for name, value in net.state_dict().items():
        if name in state and state[name].shape == value.shape:
            value.copy_(state[name])
        elif name in state or not name.startswith(but):
            raise ValueError(
                f"{name} is missing, or not {tuple(value.shape)}: these weights are of another net"
            )


def warm(net: nn.Module, state: dict[str, Tensor]) -> None:
    """Takes over what `state` has in common with the net; of tensors of other sizes, a corner."""
    own = net.state_dict()
    for name, value in state.items():
        if name in own and own[name].dim() == value.dim():
            corner = tuple(slice(min(a, b)) for a, b in zip(own[name].shape, value.shape, strict=True))
            own[name][corner] = value[corner]
