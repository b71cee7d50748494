"""What the velocity network of v3 and v4 makes of its inputs: time, step size, features, prompt and mel.

A mask (B, T, 1) is 1 on a row's own frames, and None if no row is padded. Padding counts as absent.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TIME_CHANNELS = 256
POSITION_GROUPS = 16
POSITIONS = 4096  # rows of the features' position table; later frames repeat the last
EPS = 1e-6

Mask = Tensor | None


class StepEmbedding(nn.Module):
    """A number in 0..1 as a vector, (N,) -> (N, D)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.time_mlp = nn.Sequential(nn.Linear(TIME_CHANNELS, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, value: Tensor) -> Tensor:
        half = TIME_CHANNELS // 2
        rates = torch.exp(torch.arange(half, device=value.device) * (-math.log(10000) / (half - 1)))
        angle = 1000 * value[:, None] * rates
        return self.time_mlp(torch.cat([angle.sin(), angle.cos()], 1))


class ResponseNorm(nn.Module):
    """Scales each channel by its length over time, relative to the mean of all channels: (B, T, C) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        share = length / (length.mean(-1, keepdim=True) + EPS)
        return self.gamma * (x * share) + self.beta + x


class TextBlock(nn.Module):
    """A ConvNeXt-V2 block: (B, T, C) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPS)
        self.pwconv1 = nn.Linear(channels, 2 * channels)
        self.grn = ResponseNorm(2 * channels)
        self.pwconv2 = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor, mask: Mask) -> Tensor:
        y = self.dwconv(masked(x, mask).transpose(1, 2)).transpose(1, 2)
        y = F.gelu(self.pwconv1(self.norm(y)))
        return x + self.pwconv2(self.grn(masked(y, mask)))


class TextEmbedding(nn.Module):
    """The features of text and codes, with their positions: (B, T, C) -> same."""

    table: Tensor

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.channels = channels
        self.text_blocks = nn.ModuleList(TextBlock(channels) for _ in range(blocks))

    def prepare(self, device: torch.device) -> None:
        rates = 10000.0 ** (-torch.arange(0, self.channels, 2) / self.channels)
        angle = torch.arange(POSITIONS)[:, None] * rates
        table = torch.cat([angle.cos(), angle.sin()], 1)
        self.register_buffer("table", table.to(device), persistent=False)

    def forward(self, features: Tensor, mask: Mask) -> Tensor:
        last = torch.arange(features.shape[1], device=features.device).clamp(max=POSITIONS - 1)
        x = features + self.table[last]
        for block in self.text_blocks:
            x = block(x, mask)
        return x


class PositionConvs(nn.Module):
    """Two grouped convolutions over time, from which the frames know their neighbours: (B, T, D) -> same."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        convs = [nn.Conv1d(dim, dim, 31, padding=15, groups=POSITION_GROUPS) for _ in range(2)]
        self.conv1d = nn.Sequential(convs[0], nn.Mish(), convs[1], nn.Mish())

    def forward(self, x: Tensor, mask: Mask) -> Tensor:
        first, second = self.conv1d[:2], self.conv1d[2:]
        y = first(masked(x, mask).transpose(1, 2))
        return second(masked(y, None if mask is None else mask.transpose(1, 2))).transpose(1, 2)


class InputEmbedding(nn.Module):
    """Joins mel, prompt and text: (B, T, mels + mels + text) -> (B, T, D), in two halves."""

    def __init__(self, mels: int, text: int, dim: int) -> None:
        super().__init__()
        self.mels = mels
        self.proj = nn.Linear(2 * mels + text, dim)
        self.conv_pos_embed = PositionConvs(dim)

    def still(self, prompt: Tensor, text: Tensor) -> Tensor:
        """The part of the projection that does not depend on the mel."""
        return F.linear(torch.cat([prompt, text], -1), self.proj.weight[:, self.mels :], self.proj.bias)

    def project(self, mel: Tensor, still: Tensor) -> Tensor:
        return still + F.linear(mel, self.proj.weight[:, : self.mels])

    def positioned(self, x: Tensor, mask: Mask) -> Tensor:
        return x + self.conv_pos_embed(x, mask)


def masked(x: Tensor, mask: Mask) -> Tensor:
    return x if mask is None else x * mask
