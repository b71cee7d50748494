"""Speaker encoder: what a voice sounds like, as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deployments.families.small.blocks import ConvBlock
from deployments.families.small.config import SmallConfig


class SpeakerEncoder(nn.Module):
    """Log-mel of a reference (B, T, n_mels), T >= 2 -> speaker vector (B, S) of zero mean and unit variance."""

    def __init__(self, config: SmallConfig, blocks: int = 3) -> None:
        super().__init__()
        dim = config.speaker_hidden
        self.enter = nn.Linear(2 * config.n_mels, dim)
        self.blocks = nn.ModuleList([ConvBlock(dim, 2 * dim) for _ in range(blocks)])
        self.leave = nn.Linear(2 * dim, config.speaker_dim)
        self.norm = nn.LayerNorm(config.speaker_dim, elementwise_affine=False)

    def forward(self, mel: Tensor) -> Tensor:
        batch, frames, mels = mel.shape
        pairs = ((mel[:, : frames // 2 * 2] + 5) / 3).reshape(batch, frames // 2, 2 * mels)
        x = self.enter(pairs)  # (B, T / 2, D)
        for block in self.blocks:
            x = block(x)
        return self.norm(self.leave(torch.cat([x.mean(1), x.std(1)], dim=-1)))
