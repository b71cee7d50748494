"""Operations on tensors that hold a window of a signal: (B, window.size, C)."""

import torch
from torch import Tensor

from deployments.families.bigvgan.receptive_field import Window


def cut(x: Tensor, have: Window, want: Window) -> Tensor:
    """Cuts `want` out of `have`: a view if `have` contains all of it. Missing frames are 0."""
    before, after = max(have.start - want.start, 0), max(want.stop - have.stop, 0)
    inner = x[:, want.start + before - have.start : want.stop - after - have.start]
    if not before + after:
        return inner
    y = x.new_zeros(x.shape[0], want.size, x.shape[2])
    y[:, before : want.size - after] = inner
    return y


def scaled(x: Tensor, have: Window, want: Window, scale: Tensor, out: Tensor) -> None:
    """Writes scale (C) times the frames `want` of x into `out`. Frames that `have` lacks repeat the nearest one."""
    before, after = max(have.start - want.start, 0), max(want.stop - have.stop, 0)
    inner = out[:, before : want.size - after]
    torch.mul(x[:, want.start + before - have.start : want.stop - after - have.start], scale, out=inner)
    out[:, :before] = inner[:, :1]
    out[:, want.size - after :] = inner[:, -1:]


def crop(x: Tensor, first: Tensor, size: int) -> Tensor:
    """`size` frames of each row of x (B, N, C), from the row's own index `first`, (B,) int64."""
    if size == x.shape[1]:
        return x
    index = first[:, None] + torch.arange(size, device=x.device)
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))
