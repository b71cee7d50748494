"""Attention and the transformer encoder of VITS, over channels-first signals (B, C, T)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MASKED = -1e4
WINDOW = 4  # relative positions to each side


def banded(values: Tensor, length: int) -> Tensor:
    """(..., T, 2 W + 1) by relative position -> (..., T, S): entry [i, j] is values[i, j - i + W], 0 beyond the window.

    S is `length`. Rows of width T + 2 W + 1, read with a width of T + 2 W, move one place to the right each.
    """
    rows, width = values.shape[-2:]
    span = rows + width - 1
    shifted = F.pad(values, (0, span + 1 - width)).flatten(-2)[..., : rows * span].unflatten(-1, (rows, span))
    half = width // 2
    return shifted[..., half : half + length]


def unbanded(matrix: Tensor, window: int) -> Tensor:
    """The inverse of `banded`: (..., T, T) -> (..., T, 2 W + 1), 0 where the matrix ends."""
    rows = matrix.shape[-1]
    span = rows + 2 * window
    flat = F.pad(F.pad(matrix, (window, window)).flatten(-2), (0, rows))
    return flat.unflatten(-1, (rows, span + 1))[..., : 2 * window + 1]


class Attention(nn.Module):
    """Multi-head attention by 1x1 convolutions. window: with learned embeddings of relative positions, shared by heads.

    x: (B, C, T); context: (B, C, S), what is attended to; mask: (B, 1, S), 0 where padded, or None.
    """

    def __init__(self, channels: int, heads: int, window: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.conv_q, self.conv_k, self.conv_v, self.conv_o = (
            nn.Conv1d(channels, channels, 1) for _ in range(4)
        )
        self.window = window
        if window:
            shape = (1, 2 * window + 1, channels // heads)
            self.emb_rel_k, self.emb_rel_v = (nn.Parameter(torch.zeros(shape)) for _ in range(2))

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.seen(x, context, mask)[0]

    def seen(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The output (B, C, T), and how much each head attends to each place (B, H, T, S)."""
        q, k, v = (
            conv(signal).unflatten(1, (self.heads, -1)).transpose(2, 3)
            for conv, signal in ((self.conv_q, x), (self.conv_k, context), (self.conv_v, context))
        )  # (B, H, T, d)
        q = q / math.sqrt(q.shape[-1])
        scores = q @ k.transpose(-1, -2)  # (B, H, T, S)
        if self.window:
            scores = scores + banded(q @ self.emb_rel_k[0].t(), scores.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(mask.unsqueeze(1) == 0, MASKED)
        shares = scores.softmax(-1)
        mixed = shares @ v
        if self.window:
            mixed = mixed + unbanded(shares, self.window) @ self.emb_rel_v[0]
        return self.conv_o(mixed.transpose(2, 3).flatten(1, 2)), shares


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (B, C, T)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta, 1e-5).transpose(1, 2)


class FeedForward(nn.Module):
    """Two convolutions of the same width over time, ReLU between them."""

    def __init__(self, channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(channels, hidden, kernel, padding="same")
        self.conv_2 = nn.Conv1d(hidden, channels, kernel, padding="same")

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return masked(self.conv_2(masked(torch.relu(self.conv_1(masked(x, mask))), mask)), mask)


class Encoder(nn.Module):
    """A post-norm transformer with relative positions. Padding, where `mask` (B, 1, T) is 0, has no effect."""

    def __init__(self, channels: int, hidden: int, heads: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.attn_layers = nn.ModuleList([Attention(channels, heads, WINDOW) for _ in range(layers)])
        self.norm_layers_1 = nn.ModuleList([ChannelNorm(channels) for _ in range(layers)])
        self.ffn_layers = nn.ModuleList([FeedForward(channels, hidden, kernel) for _ in range(layers)])
        self.norm_layers_2 = nn.ModuleList([ChannelNorm(channels) for _ in range(layers)])

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = masked(x, mask)
        layers = zip(self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True)
        for attention, norm_1, feed_forward, norm_2 in layers:
            x = norm_1(x + attention(x, x, mask))
            x = norm_2(x + feed_forward(x, mask))
        return masked(x, mask)


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask
