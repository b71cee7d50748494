"""Convolutions in bf16 on a CPU that has instructions for it, with fp32 sums: twice as fast as fp32 ones.

oneDNN wants channels last, and weights in an order of its own. Here the weights are brought into that order once.
(B, C, T) stays the shape everywhere: channels last is a matter of strides, which the operations in between keep.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.gpt_sovits.vits.generator import SLOPE, Generator, ResBlock

_LENGTH = 1000  # of a signal for which oneDNN chooses the order of the weights


class PackedConv(nn.Module):
    """A Conv1d, with a leaky ReLU after it if `relu`: (B, C, T) -> (B, D, T) bf16, with D as the innermost dimension in
    memory.
    """

    def __init__(self, conv: nn.Conv1d, relu: bool = False) -> None:
        super().__init__()
        self.after: tuple[str, list[float]] = ("leaky_relu", [SLOPE]) if relu else ("none", [])
        (kernel,), (step,) = conv.kernel_size, conv.dilation
        self.padding, self.dilation = [0, step * (kernel // 2)], [1, step]
        weight = _last(conv.weight.detach().bfloat16())
        size = [1, conv.in_channels, 1, _LENGTH]
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight, self.padding, [1, 1], self.dilation, 1, size
        )
        self.bias = None if conv.bias is None else conv.bias.detach().bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(
            _last(x.bfloat16()),
            self.weight,
            self.bias,
            self.padding,
            [1, 1],
            self.dilation,
            1,
            *self.after,
            "",
        ).squeeze(2)


class PackedResBlock(nn.Module):
    """A ResBlock whose sum stays in fp32: x (B, C, T) -> (B, C, T). The first ReLU of a pair is computed in bf16, the
    second one by the convolution before it.
    """

    def __init__(self, block: ResBlock) -> None:
        super().__init__()
        self.wide, self.narrow = (
            nn.ModuleList([PackedConv(conv, relu) for conv in convs if isinstance(conv, nn.Conv1d)])
            for convs, relu in ((block.convs1, True), (block.convs2, False))
        )

    def forward(self, x: Tensor, mask: None = None) -> Tensor:
        """mask: None, because a CPU goes row by row, without padding."""
        for wide, narrow in zip(self.wide, self.narrow, strict=True):
            x = x + narrow(wide(F.leaky_relu(x.bfloat16(), SLOPE)))
        return x


class PackedUp(nn.Module):
    """A ConvTranspose1d as a convolution that makes all samples of a frame: (B, C, T) -> (B, D, rate T) in fp32.

    Sample q rate + r is a sum over frames i of x[i] w[r + padding - rate (i - q)], so that a few frames to each side of
    q suffice.
    """

    def __init__(self, up: nn.ConvTranspose1d) -> None:
        super().__init__()
        (size,), (self.rate,), padding = up.kernel_size, up.stride, int(up.padding[0])
        around = max((size - 1 - padding) // self.rate, (self.rate - 1 + padding) // self.rate)
        inputs, self.outputs = up.in_channels, up.out_channels
        conv = nn.Conv1d(inputs, self.rate * self.outputs, 2 * around + 1, padding=around)
        weight = up.weight.new_zeros(self.rate, self.outputs, inputs, 2 * around + 1)
        for r in range(self.rate):
            for frame in range(-around, around + 1):
                if 0 <= (place := r + padding - self.rate * frame) < size:
                    weight[r, :, :, frame + around] = up.weight.detach()[:, :, place].T
        conv.weight.data = weight.flatten(0, 1)
        assert conv.bias is not None and up.bias is not None
        conv.bias.data = up.bias.detach().repeat(self.rate)
        self.conv = PackedConv(conv)

    def forward(self, x: Tensor) -> Tensor:
        made = self.conv(x).float().transpose(1, 2)  # (B, T, rate D), contiguous
        return made.reshape(len(x), -1, self.outputs).transpose(1, 2)


def packed(generator: Generator) -> Generator:
    """Replaces the layers of a generator but the last. Signals between the blocks stay in fp32."""
    assert isinstance(generator.conv_pre, nn.Conv1d)
    generator.conv_pre = PackedConv(generator.conv_pre)
    generator.ups = nn.ModuleList(
        [PackedUp(up) for up in generator.ups if isinstance(up, nn.ConvTranspose1d)]
    )
    generator.resblocks = nn.ModuleList(
        [PackedResBlock(block) for block in generator.resblocks if isinstance(block, ResBlock)]
    )
    return generator


def _last(x: Tensor) -> Tensor:
    """(B, C, T) -> (B, C, 1, T), channels last"""
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
