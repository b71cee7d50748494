"""Perceiver resampler: frames to the GPT's 32 latents. Names match the checkpoint under `perceiver_encoder.`."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.indextts.config import N_LATENTS

DEPTH = 2
HEAD_DIM = 64


class Perceiver(nn.Module):
    """Frames (B, T, context_dim) -> latents (B, 32, dim)."""

    def __init__(self, dim: int, context_dim: int, heads: int, mult: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.zeros(N_LATENTS, dim))
        self.proj_context = nn.Linear(context_dim, dim) if context_dim != dim else nn.Identity()
        self.layers = nn.ModuleList(
            [nn.ModuleList([Attention(dim, heads), feed_forward(dim, mult)]) for _ in range(DEPTH)]
        )
        self.norm = Norm(dim)

    def forward(self, frames: Tensor) -> Tensor:
        context = self.proj_context(frames)  # (B, T, dim)
        latents = self.latents.expand(len(frames), -1, -1)
        for attend, feed in self.layers:  # pyright: ignore[reportGeneralTypeIssues]
            latents = latents + attend(latents, context)
            latents = latents + feed(latents)
        return self.norm(latents)


class Attention(nn.Module):
    """latents (B, L, dim), context (B, T, dim) -> (B, L, dim): the latents attend to themselves and the context."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, heads * HEAD_DIM, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * HEAD_DIM, bias=False)
        self.to_out = nn.Linear(heads * HEAD_DIM, dim, bias=False)

    def forward(self, latents: Tensor, context: Tensor) -> Tensor:
        k, v = self.to_kv(torch.cat([latents, context], dim=1)).chunk(2, dim=-1)
        q, k, v = (x.unflatten(2, (self.heads, HEAD_DIM)).transpose(1, 2) for x in (self.to_q(latents), k, v))
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, H, L, 64)
        return self.to_out(mixed.transpose(1, 2).flatten(2))


def feed_forward(dim: int, mult: int) -> nn.Sequential:
    """The hidden width is two thirds of `mult * dim`, because the gate takes a third of the weights."""
    hidden = dim * mult * 2 // 3
    return nn.Sequential(nn.Linear(dim, 2 * hidden), GatedGelu(), nn.Linear(hidden, dim))


class GatedGelu(nn.Module):
    """(..., 2 n) -> (..., n)"""

    def forward(self, x: Tensor) -> Tensor:
        values, gate = x.chunk(2, dim=-1)
        return values * F.gelu(gate)


class Norm(nn.Module):
    """Scales (..., dim) to the length sqrt(dim) and multiplies it by a learned gain."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1, eps=1e-12) * (math.sqrt(x.shape[-1]) * self.gamma)
