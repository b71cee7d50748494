"""How the GPT's advance logits become durations: a survival rule that needs no draw per step.

Each phone gets one threshold u when it is entered. A step multiplies the phone's survival by P(stay);
when it has fallen below u, the pointer moves, by the likeliest amount. u = 0.5 is the median of the model's own
duration; with temperature u is drawn once per phone, from (seed, phone index), so a repeated request repeats
its timing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deployments.engine.noise import uniform
from deployments.families.small.gpt_net import END, STAY

_STREAM = 0x5EED  # keeps these draws apart from others of the same seed


def thresholds(seed: Tensor, phone: Tensor, temperature: Tensor) -> Tensor:
    """u of a phone: seed, phone int64, temperature float32, broadcastable -> float32 in (0, 1)."""
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

    logits (B, 5); survival (B,) 1.0 on entering a phone; stay (B,) int64 steps spent there before this one;
    last (B,) bool: at the last phone, where only stay and end are possible (elsewhere the end is not);
    threshold (B,) -> phones to move (B,) int64 (0 stays), survival after this step (B,), ended (B,) bool.
    `stays`, `ends`: the classes, as arguments since TorchScript sees no globals.
    The caller caps the pointer at the last phone and resets survival and stay when it moves.
    """
    classes = torch.arange(logits.shape[-1], device=logits.device)
    allowed = torch.where(last.unsqueeze(-1), (classes == stays) | (classes == ends), classes != ends)
    logits = logits.masked_fill(~allowed, float("-inf"))
    survival = survival * torch.softmax(logits, dim=-1)[:, stays]
    leaves = (survival < threshold) | (stay + 1 >= max_stay)
    amount = logits[:, stays + 1 :].argmax(dim=-1) + 1  # the end on the last phone
    ended = leaves & last
    return torch.where(leaves & ~last, amount, torch.zeros_like(amount)), survival, ended
