"""Starts a training from the shipped weights or another run's checkpoint: `--warm shipped`, `--warm FILE`.

Checkpoints in training/runs are not part of the repository. The shipped weights contain everything except the
optimiser's state.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

SHIPPED = "shipped"
WEIGHTS = Path("deployments/families/small/weights/small.safetensors")
# the codec's encoder and the phone recogniser, which synthesis does not need
PARTS = Path("training/weights/parts.safetensors")


def codec_state(source: str) -> dict[str, Tensor]:
    """The state of a `Codec`. The shipped one lacks the auxiliary head."""
    if source != SHIPPED:
        return torch.load(source)["net"]
    tensors = {**load_file(WEIGHTS), **load_file(PARTS)}
    return {name: value.float() for name, value in tensors.items()}


def phone_state(source: str) -> dict[str, Tensor]:
    """The state of a `PhoneNet`."""
    return torch.load(source)["net"] if source != SHIPPED else _shipped(PARTS, "recogniser.")


def gpt_state(source: str) -> dict[str, Tensor]:
    """The state of a `StructuredGpt`. The shipped one is merged and has no tables per level."""
    if source != SHIPPED:
        return torch.load(source)["net"]
    return _shipped(WEIGHTS, "gpt.")


def _shipped(file: Path, part: str) -> dict[str, Tensor]:
    return {k.removeprefix(part): v.float() for k, v in load_file(file).items() if k.startswith(part)}


def whole(net: nn.Module, state: dict[str, Tensor], but: str = "mel_head.") -> None:
    """Loads a whole network from `state`, which may lack the names that begin with `but`.

    Raises ValueError if another tensor is missing or has another size.
    """
    for name, value in net.state_dict().items():
        if name in state and state[name].shape == value.shape:
            value.copy_(state[name])
        elif name in state or not name.startswith(but):
            raise ValueError(
                f"{name} is missing, or not {tuple(value.shape)}: these weights belong to another network"
            )


def warm(net: nn.Module, state: dict[str, Tensor]) -> None:
    """Copies the tensors that `state` shares with the network. For different sizes, the common corner is copied."""
    own = net.state_dict()
    for name, value in state.items():
        if name in own and own[name].dim() == value.dim():
            corner = tuple(slice(min(a, b)) for a, b in zip(own[name].shape, value.shape, strict=True))
            own[name][corner] = value[corner]
