"""The flow that turns noise into a patch: its schedule, and the Euler solver with guidance by "CFG-Zero*".

The schedule and the sinusoids are computed in the model's dtype. In bf16 this is not noise but another function: the
spacing of angles near 1000 is 4. The published weights were trained with it.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

TIME_SCALE = 1000
LONGEST_PERIOD = 10_000
ZERO_SHARE = 0.04  # of the steps, whose velocity is zero; at least one step
Velocity = Callable[[int, Tensor], Tensor]


class Step(NamedTuple):
    """From `time`, a step of `size`. Both are numbers of the model's dtype."""

    time: float
    size: float
    still: bool  # the velocity is zero


def spans(steps: int, dtype: torch.dtype) -> Tensor:
    """The times from 1 to 0, (steps + 1,), close together near 1: t + cos(pi t / 2) - 1 + t."""
    t = torch.linspace(1, 0, steps + 1, dtype=dtype)
    return t + (torch.cos(torch.pi / 2 * t) - 1 + t)


def schedule(steps: int, dtype: torch.dtype) -> list[Step]:
    """The steps, with the running time rounded to `dtype` at each."""
    ends = spans(steps, dtype)
    still = max(1, int((steps + 1) * ZERO_SHARE))
    time, size, found = ends[0], ends[0] - ends[1], []
    for step in range(1, steps + 1):
        found.append(Step(time.item(), size.item(), step <= still))
        time = time - size
        if step < steps:
            size = time - ends[step + 1]
    return found


def sinusoid(times: Tensor, width: int) -> Tensor:
    """(n,) -> (n, width): sines, then cosines, in the dtype of `times`."""
    half = width // 2
    rates = torch.exp(torch.arange(half, dtype=times.dtype) * -(math.log(LONGEST_PERIOD) / (half - 1)))
    angle = TIME_SCALE * times.unsqueeze(1) * rates.unsqueeze(0)
    return torch.cat((angle.sin(), angle.cos()), -1)


def solve(noise: Tensor, steps: list[Step], velocity: Velocity, guidance: Tensor) -> Tensor:
    """Euler's method. noise: float32 (B, P, D); guidance: (B, 1, 1) -> (B, P, D).

    velocity(k, x): of the k-th step that is not still, conditional and then unconditional rows: (2B, P, D).
    CFG-Zero* (Fan et al., 2025, arXiv 2503.18886): the unconditional velocity is scaled by its projection on the
    conditional one, and the first steps are still.
    """
    x, evaluated = noise, 0
    for step in steps:
        if step.still:
            continue
        with_voice, without = velocity(evaluated, x).float().chunk(2)
        evaluated += 1
        product = (with_voice * without).flatten(1).sum(-1)
        square = without.square().flatten(1).sum(-1)
        base = (product / (square + 1e-8))[:, None, None] * without
        x = x - step.size * (base + guidance * (with_voice - base))
    return x
