"""The style encoder ("ref_enc"): a spectrogram of a reference to an embedding of its timbre."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.gpt_sovits.weights import Shapes

HEADS = 2  # no file says it


class GatedConv(nn.Module):
    """x + a sigmoid(b), with a and b from a convolution of width `kernel`: (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv1 = nn.ModuleDict({"conv": nn.Conv1d(channels, 2 * channels, kernel, padding=kernel // 2)})

    def forward(self, x: Tensor) -> Tensor:
        return x + F.glu(self.conv1["conv"](x), dim=1)


class SelfAttention(nn.Module):
    """(B, T, C) -> (B, T, C), residual. The scores are scaled by the width and not by that of a head, as published."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = 1 / math.sqrt(width)
        self.w_qs, self.w_ks, self.w_vs, self.fc = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.w_qs, self.w_ks, self.w_vs)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return x + self.fc(mixed.transpose(1, 2).flatten(2))


class Projection(nn.Module):
    """A linear layer under the name "fc"."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class StyleEncoder(nn.Module):
    """Linear spectrogram (B, bins, T), of which the lowest `bins` are seen -> (B, G)."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        width, self.bins = shapes["spectral.0.fc.weight"]
        kernel = shapes["temporal.0.conv1.conv.weight"][2]
        layers = sum(name.endswith("conv1.conv.weight") for name in shapes)
        self.spectral = nn.Sequential(
            Projection(self.bins, width), nn.Mish(), nn.Identity(), Projection(width, width), nn.Mish()
        )
        self.temporal = nn.Sequential(*(GatedConv(width, kernel) for _ in range(layers)))
        self.slf_attn = SelfAttention(width)
        self.fc = Projection(width, shapes["fc.fc.weight"][0])

    def forward(self, spectrogram: Tensor) -> Tensor:
        x = self.spectral(spectrogram[:, : self.bins].transpose(1, 2))
        x = self.temporal(x.transpose(1, 2)).transpose(1, 2)
        return self.fc(self.slf_attn(x)).mean(1)
