"""Convolutions over time. On the CPU they are matrix products, with about half the products where that is faster;
elsewhere they use cuDNN."""

import functools
import math
from collections.abc import Sequence
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor, nn

OUT = 4  # frames per block of the fast algorithm, and taps that it applies at once
POINTS = (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-1, 2), Fraction(2))
_SPAN = len(POINTS) + 1  # frames that a block reads: 2 OUT - 1
_TILE = 1 << 19  # elements of a tile on the CPU, whose intermediate results stay in the cache


@functools.cache
def toom_cook(taps: int) -> tuple[Tensor, Tensor, Tensor]:
    """The float64 matrices (read, weigh, write) that compute OUT outputs of a filter in OUT + taps - 1 products.

    The filter w over x is write @ ((weigh @ w) * (read @ x)): x (n), w (taps), n = OUT + taps - 1. This is Winograd's
    minimal filtering: the transpose of the Toom-Cook product of polynomials, evaluated at the first n - 1 POINTS and at
    infinity. Rows of `read` have length 1, which keeps rounding errors low.
    """
    points = POINTS[: OUT + taps - 2]
    read, weigh, write = [], [], []
    for point in points:
        others = [other for other in points if other != point]
        scale = math.prod(point - other for other in others)
        read.append([*_with_roots(others), Fraction(0)])
        weigh.append([point**power / scale for power in range(taps)])
        write.append([point**power for power in range(OUT)])
    read.append(_with_roots(points))
    weigh.append([Fraction(int(power == taps - 1)) for power in range(taps)])
    write.append([Fraction(int(power == OUT - 1)) for power in range(OUT)])
    size = _matrix(read).norm(dim=1, keepdim=True)
    return _matrix(read) / size, _matrix(weigh) * size, _matrix(write).T.contiguous()


def _with_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the product of all (x - root), lowest first."""
    poly = [Fraction(1)]
    for root in roots:
        poly = [a - root * b for a, b in zip([Fraction(0), *poly], [*poly, Fraction(0)], strict=True)]
    return poly


def _matrix(rows: list[list[Fraction]]) -> Tensor:
    return torch.tensor([[float(value) for value in row] for row in rows], dtype=torch.float64)


class Conv(nn.Module):
    """A convolution without padding, (B, N, in) -> (B, N - (kernel - 1) dilation, out), with torch's weight layout.

    Call `prepare` once weights are loaded and on their device. It repacks them, and leaves the state dict empty.
    """

    packed: Tensor
    read: Tensor
    write: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.kernel, self.dilation, self.outputs = kernel, dilation, outputs
        # with fewer products, the transforms cost more than they save (measured with AVX2)
        self.fast = kernel > 2 and min(inputs, outputs) * kernel >= 256

    @property
    def reach(self) -> int:
        return (self.kernel - 1) * self.dilation

    def prepare(self) -> None:
        weight, bias = self.weight.detach(), self.bias.detach()
        del self.weight, self.bias
        self.register_buffer("bias", bias, persistent=False)
        if weight.device.type != "cpu":
            packed = weight.unsqueeze(2).to(memory_format=torch.channels_last)  # (out, in, 1, kernel)
        elif self.fast:
            taps = min(self.kernel, OUT)
            groups = -(-self.kernel // taps)
            read, weigh, write = toom_cook(taps)
            tapped = F.pad(weight, (0, groups * taps - self.kernel)).unflatten(2, (groups, taps))
            # (groups, span, in, out)
            packed = torch.einsum("et,oigt->geio", weigh.float(), tapped).contiguous()
            self.register_buffer("read", read.float(), persistent=False)
            self.register_buffer("write", write.float(), persistent=False)
        else:
            packed = weight.permute(2, 1, 0).contiguous()  # (kernel, in, out)
        self.register_buffer("packed", packed, persistent=False)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """bias (B, out) replaces the convolution's own."""
        if x.device.type != "cpu":
            own = self.bias if bias is None else None
            y = F.conv2d(x.transpose(1, 2).unsqueeze(2), self.packed, own, dilation=(1, self.dilation))
            y = y.squeeze(2).transpose(1, 2)
            return y if bias is None else y + bias[:, None]
        y = x.new_empty(x.shape[0], x.shape[1] - self.reach, self.outputs)
        for row, (frames, out) in enumerate(zip(x, y, strict=True)):
            (self._fast if self.fast else self._direct)(frames, self.bias if bias is None else bias[row], out)
        return y

    def _direct(self, x: Tensor, bias: Tensor, out: Tensor) -> None:
        step = max(_TILE // x.shape[1], 1)
        for start in range(0, len(out), step):
            tile = out[start : start + step]
            torch.addmm(bias, x[start : start + len(tile)], self.packed[0], out=tile)
            for tap in range(1, self.kernel):
                first = start + tap * self.dilation
                tile.addmm_(x[first : first + len(tile)], self.packed[tap])

    def _fast(self, x: Tensor, bias: Tensor, out: Tensor) -> None:
        """Frames t, t + dilation, ... form one signal. The `dilation` signals lie side by side in wider frames."""
        block = OUT * self.dilation
        step = max(_TILE // x.shape[1] // block, 32) * block
        for start in range(0, len(out), step):
            tile = out[start : start + step]
            blocks = -(-len(tile) // block)
            needed = (blocks + len(self.packed) - 1) * block + (len(self.read) - OUT) * self.dilation
            frames = x[start : start + needed]
            if len(frames) < needed:
                frames = F.pad(frames, (0, 0, 0, needed - len(frames)))
            whole = len(tile) == blocks * block
            made = tile if whole else tile.new_empty(blocks * block, self.outputs)
            self._blocks(frames, bias, made, blocks)
            if not whole:
                tile.copy_(made[: len(tile)])

    def _blocks(self, x: Tensor, bias: Tensor, out: Tensor, blocks: int) -> None:
        groups, span, inputs, _ = self.packed.shape
        reads, wide = blocks + groups - 1, self.dilation * inputs
        windows = x.as_strided((reads, span, wide), (OUT * wide, wide, 1))
        points = torch.bmm(self.read.expand(reads, -1, -1), windows).transpose(0, 1)
        if self.dilation > 1:  # split the wider frames again
            points = points.reshape(span, reads * self.dilation, inputs)
        count = blocks * self.dilation
        products = torch.bmm(points[:, :count], self.packed[0])
        for group in range(1, groups):
            first = group * self.dilation
            products.baddbmm_(points[:, first : first + count], self.packed[group])
        products[1] += bias  # the value at the point 1 enters each output once
        products = products.view(span, blocks, -1).transpose(0, 1)
        torch.bmm(self.write.expand(blocks, -1, -1), products, out=out.view(blocks, OUT, -1))
