"""Flow matching: from noise to a mel, in equal Euler steps along the velocity network."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch
from torch import Tensor

from deployments.contract.family import Call, Tensors
from deployments.families.gpt_sovits.cfm.dit import Dit


class Rows(NamedTuple):
    """What to solve: rows of a prompt's frames and then of new ones, padded at the end.

    features: (B, T, C); prompt: (B, T, mels), 0 after the prompt; noise: (B, T, mels); new: (B, T, 1), 1 on the new
    frames; mask: (B, T, 1), 1 on all frames of a row, None if no row is padded.
    """

    features: Tensor
    prompt: Tensor
    noise: Tensor
    new: Tensor
    mask: Tensor | None


def directly(key: Hashable, function: Callable[[Tensors], Tensors], inputs: Tensors) -> Tensors:
    return function(inputs)


def solve(net: Dit, rows: Rows, steps: int, call: Call = directly) -> Tensor:
    """The normalised mel of the new frames, (B, T, mels), 0 elsewhere.

    One call makes the inputs that all steps share, and each step is one call of the same shapes, so that a CUDA graph
    of a step serves every number of steps. A call's outputs may be overwritten by the next one.
    """
    size = tuple(rows.features.shape[:2])
    conditions = {"features": rows.features, "prompt": rows.prompt}
    shared = {} if rows.mask is None else {"mask": rows.mask}
    still = call(("conditions", *size), lambda inputs: _still(net, inputs), conditions | shared)[
        "still"
    ].clone()
    shared |= {"still": still, "move": rows.new / steps}  # does not move the prompt and the padding
    mel = rows.noise * rows.new
    for modulation in net.plans[steps]:
        inputs = {"mel": mel, "modulation": modulation} | shared
        mel = call(("step", *size), lambda inputs: _step(net, inputs), inputs)["mel"]
    return mel.clone()


def _still(net: Dit, inputs: Tensors) -> Tensors:
    return {"still": net.still(inputs["features"], inputs["prompt"], inputs.get("mask"))}


def _step(net: Dit, inputs: Tensors) -> Tensors:
    velocity = net(inputs["mel"], inputs["still"], inputs["modulation"], inputs.get("mask"))
    return {"mel": torch.addcmul(inputs["mel"], velocity.float(), inputs["move"])}
