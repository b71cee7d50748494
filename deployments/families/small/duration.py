"""Turns the GPT's advance logits into durations, with one random draw per phone instead of one per step.

Each phone has a threshold u. Every step multiplies the phone's survival by P(stay). When the survival falls below u,
the pointer moves by the most likely amount. u = 0.5 gives the median of the predicted duration. With a temperature, u
is drawn once per phone from (seed, phone index), so that a repeated request has the same timing.
"""

import torch
from torch import Tensor

from deployments.engine.noise import uniform
from deployments.families.small.gpt_net import END, STAY

_STREAM = 0x5EED  # separates these draws from others with the same seed


def thresholds(seed: Tensor, phone: Tensor, temperature: Tensor) -> Tensor:
    """The threshold u of each phone: seed, phone int64, temperature float32, broadcastable -> float32 in (0, 1)."""
    spread = temperature.clamp(0.0, 1.0)
    return 0.5 + (uniform(seed, phone + (_STREAM << 32)) - 0.5) * spread


def advance(
    logits: Tensor,
    survival: Tensor,
    stay: Tensor,
    last: Tensor,
    threshold: Tensor,
    max_stay: int,
    stays: int = STAY,
    ends: int = END,
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of every row.

    logits (B, 5); survival (B,), 1.0 on entering a phone; stay (B,) int64, steps spent there before this one;
    last (B,) bool, True at the last phone, where only stay and end are possible (elsewhere end is impossible);
    threshold (B,) -> phones to move (B,) int64 (0: stay), survival after this step (B,), ended (B,) bool.
    `stays` and `ends` are the classes, as arguments because TorchScript cannot read globals.
    The caller clamps the pointer to the last phone and resets survival and stay when it moves.
    """
    classes = torch.arange(logits.shape[-1], device=logits.device)
    allowed = torch.where(last.unsqueeze(-1), (classes == stays) | (classes == ends), classes != ends)
    logits = logits.masked_fill(~allowed, float("-inf"))
    survival = survival * torch.softmax(logits, dim=-1)[:, stays]
    leaves = (survival < threshold) | (stay + 1 >= max_stay)
    amount = logits[:, stays + 1 :].argmax(dim=-1) + 1  # always the end at the last phone
    ended = leaves & last
    return torch.where(leaves & ~last, amount, torch.zeros_like(amount)), survival, ended
