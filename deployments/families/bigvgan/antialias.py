"""SnakeBeta between twofold upsampling and twofold downsampling, so that its overtones do not alias.

Signals are (B, T, C): the channels of a frame are contiguous, and a filter over time is a matrix product with the
signal. Blocks of `BLOCK` frames overlap by the filter's reach. This is free, because the blocks are a strided view.
One small matrix upsamples a block, another downsamples it.
"""

import functools
import math

import torch
from torch import Tensor, nn

from deployments.families.bigvgan.receptive_field import Window
from deployments.families.bigvgan.window import scaled

TAPS = 12
BLOCK = 8  # frames, on the CPU, where a small matrix wastes few products on its zeros
ACCELERATOR_BLOCK = 32  # frames; an accelerator prefers few large matrices
_MARGIN = 6  # frames read on each side: one more than needed, because up-sampled frames come in pairs
_HALO = TAPS // 2  # pairs of up-sampled frames around a block, and frames around its pairs
_TILE = 1 << 18  # elements of a tile on the CPU, which fits into a core's cache


@functools.cache
def low_pass() -> Tensor:
    """The low-pass filter of both directions: a half-band sinc with a Kaiser window, float64 (12,), with sum 1.

    Half width 0.3; the window's shape follows Kaiser's rule for the attenuation that 12 taps reach.
    """
    attenuation = 2.285 * (TAPS // 2 - 1) * math.pi * 4 * 0.3 + 7.95  # dB: 51
    beta = 0.1102 * (attenuation - 8.7)
    time = torch.arange(TAPS, dtype=torch.float64) - (TAPS - 1) / 2
    window = torch.kaiser_window(TAPS, periodic=False, beta=beta, dtype=torch.float64)
    taps = 0.5 * window * torch.sinc(0.5 * time)
    return taps / taps.sum()


@functools.cache
def resamplers(block: int) -> tuple[Tensor, Tensor]:
    """(up, down) for a block of frames t = 0..block-1, float32.

    up (2 block, block + 6): from frames -3.. to up-sampled frames 0..; frame 2t is sum_j 2 f[2j+1] x[t+2-j], and
    frame 2t+1 is sum_j 2 f[2j] x[t+3-j], the two phases of a transposed convolution.
    down (block, 2 block + 10): frame t is sum_k f[k] u[2t-5+k], from up-sampled frames -5...
    """
    taps = low_pass()
    up = torch.zeros(2 * block, block + _HALO, dtype=torch.float64)
    down = torch.zeros(block, 2 * block + TAPS - 2, dtype=torch.float64)
    for t in range(block):
        for j in range(TAPS // 2):
            up[2 * t, t + 5 - j] = 2 * taps[2 * j + 1]
            up[2 * t + 1, t + 6 - j] = 2 * taps[2 * j]
        down[t, 2 * t : 2 * t + TAPS] = taps
    return up.float(), down.float()


class AntiAliasedSnake(nn.Module):
    """x + sin^2(e^alpha x) / (e^beta + 1e-9) per channel at twice the rate. Call `prepare` once weights are loaded.

    Let sin^2(v) = (1 - cos 2v) / 2, s = 2 e^alpha and b = 1 / (e^beta + 1e-9). Both filters are linear with gain 1 at
    zero frequency, so a frame is down(w) / s + b / 2 with w = u - s b / 2 cos u and u = up(s x). The factors apply at
    the lower rate, and only one cosine and one product remain at the higher rate.
    """

    scale: Tensor
    wave: Tensor
    inverse: Tensor
    offset: Tensor
    up: Tensor
    down: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        # their logarithms, which are never trained
        zeros = {n: nn.Parameter(torch.zeros(channels), requires_grad=False) for n in ("alpha", "beta")}
        self.act = nn.ParameterDict(zeros)

    def prepare(self, block: int | None = None) -> None:
        scale = 2 * self.act["alpha"].detach().double().exp()
        half = 0.5 / (self.act["beta"].detach().double().exp() + 1e-9)
        up, down = resamplers(block or (BLOCK if scale.device.type == "cpu" else ACCELERATOR_BLOCK))
        folded = {"scale": scale, "wave": -scale * half, "inverse": 1 / scale, "offset": half}
        for name, value in {**folded, "up": up, "down": down}.items():
            self.register_buffer(name, value.float().to(scale.device), persistent=False)

    def forward(self, x: Tensor, have: Window, want: Window) -> Tensor:
        """x (B, have.size, C) -> (B, want.size, C). Frames of `want` outside the signal are 0.

        At its ends, the signal is extended by its last values, and so is the up-sampled activation.
        """
        inside = want.clipped()
        y = x.new_empty(x.shape[0], want.size, x.shape[2])
        y[:, : inside.start - want.start] = 0
        y[:, inside.stop - want.start :] = 0
        step = inside.size if x.device.type != "cpu" else max(_TILE // x.shape[2], 1)
        for start in range(inside.start, inside.stop, step):
            tile = Window(start, min(start + step, inside.stop), want.length)
            self._tile(x, have, tile, y[:, tile.start - want.start : tile.stop - want.start])
        return y

    def _tile(self, x: Tensor, have: Window, want: Window, out: Tensor) -> None:
        batch, _, channels = x.shape
        block = len(self.down)
        around = want.grown(_MARGIN)
        blocks = -(-around.size // block)  # per row
        frames, count = blocks * block, batch * blocks
        padded = x.new_empty(batch * frames + _HALO, channels)
        framed = padded[: count * block].view(batch, frames, channels)
        scaled(x, have, around, self.scale, framed[:, : around.size])
        framed[:, around.size :] = 0  # their output is cut off below, but must be finite
        padded[count * block :] = 0

        wide = x.new_empty(2 * count * block + TAPS, channels)  # up-sampled frames from 2 (want.start - 3) on
        u = wide[: 2 * count * block]
        wide[2 * count * block :] = 0
        blocked = padded.as_strided((count, block + _HALO, channels), (block * channels, channels, 1))
        torch.bmm(self.up.expand(count, -1, -1), blocked, out=u.view(count, 2 * block, channels))
        u.addcmul_(u.cos(), self.wave)
        _hold_ends(u.view(batch, 2 * frames, channels), 2 * (want.start - 3), 2 * want.length)

        reach = 2 * block + TAPS - 2
        blocked = wide.as_strided((count, reach, channels), (2 * block * channels, channels, 1), channels)
        y = torch.bmm(self.down.expand(count, -1, -1), blocked).view(batch, frames, channels)
        torch.addcmul(self.offset, y[:, : want.size], self.inverse, out=out)


def _hold_ends(u: Tensor, first: int, length: int) -> None:
    """u (B, N, C) holds the frames from `first` of a signal of `length` frames. Frames outside get its end values."""
    if first < 0:
        u[:, :-first] = u[:, -first : 1 - first]
    end = length - first
    if end < u.shape[1]:
        u[:, end:] = u[:, end - 1 : end]
