"""Causal convolutions over a stream: each keeps the last inputs that its next outputs need.

The states of all layers are one flat array per row, so that a stream's state travels and is kept as one tensor. A state
of zeros is the silence before the beginning.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.engine.invariant import lay_out, multiply
from deployments.families.checkpoint import Tensors


class Memory:
    """The states of a call: read in the order of the layers, and written for the next call.

    before: float32 (B, S); units: frames of the padded rows; valid: int64 (B,), how many of them are the row's own,
    None if all are.
    """

    def __init__(self, before: Tensor, units: int, valid: Tensor | None = None) -> None:
        self.before, self.units, self.valid = before, units, valid
        self._at = 0
        self._after: list[Tensor] = []

    @property
    def after(self) -> Tensor:
        """(B, S)"""
        return torch.cat(self._after, 1)

    def extended(self, x: Tensor, count: int) -> Tensor:
        """x (B, C, T) with the last `count` inputs before it: (B, C, count + T)."""
        if not count:
            return x
        size = x.shape[1] * count
        joined = torch.cat((self.before[:, self._at : self._at + size].unflatten(1, (-1, count)), x), 2)
        self._at += size
        if self.valid is None:
            last = joined[:, :, -count:]
        else:
            begin = self.valid * (x.shape[2] // self.units)
            index = begin[:, None, None] + torch.arange(count, device=x.device)
            last = joined.gather(2, index.expand(-1, x.shape[1], -1))
        self._after.append(last.flatten(1))
        return joined


class Conv:
    """A convolution, padded on the left only. left: how many inputs before the first."""

    def __init__(
        self,
        weights: Tensors,
        name: str,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        left: int | None = None,
    ) -> None:
        self.weight, self.bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        self.stride, self.dilation, self.groups = stride, dilation, groups
        self.left = (self.weight.shape[2] - 1) * dilation if left is None else left
        self.state = self.weight.shape[1] * groups * self.left

    def __call__(self, x: Tensor, memory: Memory) -> Tensor:
        x = memory.extended(x, self.left)
        return F.conv1d(x, self.weight, self.bias, self.stride, dilation=self.dilation, groups=self.groups)


class Upsample:
    """A transposed convolution of kernel 2 `stride`: each output depends on its input and the one before.

    On a CPU it is one product of both, because torch's own is several times slower for few inputs.
    """

    def __init__(self, weights: Tensors, name: str, stride: int) -> None:
        self.weight, self.bias, self.stride = weights[f"{name}.weight"], weights[f"{name}.bias"], stride
        self.state, self.laid_out = len(self.weight), False
        if self.weight.device.type == "cpu":
            this, before = self.weight.split(stride, 2)  # (C, C', stride) each
            both = torch.cat((before, this)).permute(2, 1, 0).flatten(0, 1)  # (stride C', 2 C)
            if (weight := lay_out(both)) is not None:
                self.weight, self.bias, self.laid_out = weight, self.bias.repeat(stride), True

    def __call__(self, x: Tensor, memory: Memory) -> Tensor:
        x = memory.extended(x, 1)
        if not self.laid_out:
            y = F.conv_transpose1d(x, self.weight, self.bias, self.stride)
            return y[:, :, self.stride : -self.stride]
        pairs = torch.cat((x[:, :, :-1], x[:, :, 1:]), 1).transpose(1, 2)  # (B, T, 2 C)
        y = multiply(pairs.contiguous(), self.weight, self.bias)
        return y.unflatten(2, (self.stride, -1)).permute(0, 3, 1, 2).flatten(2)


class Snake:
    """x + sin(a x)^2 / a, per channel (Ziyin et al., 2020, arXiv 2006.08195)."""

    state = 0

    def __init__(self, weights: Tensors, name: str) -> None:
        self.alpha = weights[f"{name}.alpha"]
        self.inverse = 1 / (self.alpha + 1e-9)

    def __call__(self, x: Tensor, memory: Memory) -> Tensor:
        return torch.addcmul(x, (self.alpha * x).sin_().square_(), self.inverse)


class Affine:
    """Scale and bias per channel."""

    state = 0

    def __init__(self, scale: Tensor, bias: Tensor) -> None:
        self.scale, self.bias = scale.reshape(1, -1, 1), bias.reshape(1, -1, 1)

    def __call__(self, x: Tensor, memory: Memory) -> Tensor:
        return torch.addcmul(self.bias, x, self.scale)


class Residual:
    """x + conv1(snake(conv7(snake(x)))), the first convolution depthwise."""

    def __init__(self, weights: Tensors, name: str, dilation: int) -> None:
        groups = len(weights[f"{name}.block.1.weight"])
        self.layers = (
            Snake(weights, f"{name}.block.0"),
            Conv(weights, f"{name}.block.1", dilation=dilation, groups=groups),
            Snake(weights, f"{name}.block.2"),
            Conv(weights, f"{name}.block.3"),
        )
        self.state = sum(layer.state for layer in self.layers)

    def __call__(self, x: Tensor, memory: Memory) -> Tensor:
        y = x
        for layer in self.layers:
            y = layer(y, memory)
        return y.add_(x)
