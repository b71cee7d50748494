"""Conformer: a log-mel to features at half its rate. Names match the checkpoint under `conditioning_encoder.`."""

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.indextts.config import Conditioning

KERNEL = 15  # frames under the depthwise convolution
POSITIONS = 5000  # rows of the position table, which limit the frames after subsampling


class Conformer(nn.Module):
    """Log-mel (B, T, input_size), 3 <= T <= 10 000 -> (B, T', D) with T' = (T - 1) // 2. Rows must not be padded."""

    def __init__(self, input_size: int, config: Conditioning) -> None:
        super().__init__()
        dim = config.output_size
        self.embed = Subsampling(input_size, dim)
        self.encoders = nn.ModuleList(
            [Block(dim, config.attention_heads, config.linear_units) for _ in range(config.num_blocks)]
        )
        self.after_norm = nn.LayerNorm(dim)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.embed(mel)  # (B, T', D)
        positions = self.embed.pos_enc["pe"][:, : x.shape[1]]  # (1, T', D)
        for block in self.encoders:
            x = block(x, positions)
        return self.after_norm(x)


class Subsampling(nn.Module):
    """(B, T, M) -> (B, T', D) by one convolution with stride 2 over time and mel. It does not add positions."""

    def __init__(self, input_size: int, dim: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, dim, 3, stride=2), nn.ReLU(inplace=True))
        self.out = nn.Sequential(nn.Linear(dim * ((input_size - 1) // 2), dim))
        # as stored, because a 16-bit file rounds the sines
        self.pos_enc = nn.ParameterDict({"pe": torch.zeros(1, POSITIONS, dim)})

    def forward(self, mel: Tensor) -> Tensor:
        x = self.conv(mel.unsqueeze(1)).transpose(1, 2)  # (B, T', D, M')
        return self.out(x.flatten(2)) * math.sqrt(x.shape[2])


class Block(nn.Module):
    """x: (B, T, D), positions: (1, T, D) -> (B, T, D)"""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads)
        self.conv_module = Convolution(dim)
        layers = {"w_1": nn.Linear(dim, hidden), "silu": nn.SiLU(), "w_2": nn.Linear(hidden, dim)}
        self.feed_forward = nn.Sequential(OrderedDict(layers))
        self.norm_mha = nn.LayerNorm(dim)
        self.norm_conv = nn.LayerNorm(dim)
        self.norm_ff = nn.LayerNorm(dim)
        self.norm_final = nn.LayerNorm(dim)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        x = x + self.self_attn(self.norm_mha(x), positions)
        x = x + self.conv_module(self.norm_conv(x))
        x = x + self.feed_forward(self.norm_ff(x))
        return self.norm_final(x)


class Attention(nn.Module):
    """Attention with the score ((q + u) k + (q + v) p) / sqrt(d), p the projected position of the key.

    p depends on the key alone (nothing is shifted by the query's position), so the two products become one, of
    [q + u, q + v] with [k, p]. Fused attention computes it without storing a score for each pair of frames.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.linear_q = nn.Linear(dim, dim)
        self.linear_k = nn.Linear(dim, dim)
        self.linear_v = nn.Linear(dim, dim)
        self.linear_out = nn.Linear(dim, dim)
        self.linear_pos = nn.Linear(dim, dim, bias=False)
        self.pos_bias_u = nn.Parameter(torch.zeros(heads, dim // heads))
        self.pos_bias_v = nn.Parameter(torch.zeros(heads, dim // heads))

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        heads, width = self.pos_bias_u.shape
        split = (heads, width)
        q = self.linear_q(x).unflatten(2, split)  # (B, T, H, d)
        k = self.linear_k(x).unflatten(2, split)
        v = self.linear_v(x).unflatten(2, split)
        p = self.linear_pos(positions).unflatten(2, split).expand_as(k)
        both = torch.cat([q + self.pos_bias_u, q + self.pos_bias_v], dim=-1).transpose(1, 2)  # (B, H, T, 2d)
        keys = torch.cat([k, p], dim=-1).transpose(1, 2)
        values = F.pad(v, (0, width)).transpose(1, 2)  # as wide as the keys, as fused kernels require
        mixed = F.scaled_dot_product_attention(both, keys, values, scale=width**-0.5)
        return self.linear_out(mixed[..., :width].transpose(1, 2).flatten(2))


class Convolution(nn.Module):
    """(B, T, D) -> (B, T, D): a gated convolution that sees 7 frames on each side."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pointwise_conv1 = nn.Conv1d(dim, 2 * dim, 1)
        self.depthwise_conv = nn.Conv1d(dim, dim, KERNEL, padding=KERNEL // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.pointwise_conv2 = nn.Conv1d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise_conv(F.glu(self.pointwise_conv1(x.transpose(1, 2)), dim=1))  # (B, D, T)
        x = F.silu(self.norm(x.transpose(1, 2)))
        return self.pointwise_conv2(x.transpose(1, 2)).transpose(1, 2)
