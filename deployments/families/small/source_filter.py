"""Source-filter synthesis: the sum of a pulse train and noise, each with its own spectral filter.

Everything is a function of absolute time, so a chunk with context has the same samples as the whole utterance: the
phase of the pulses is carried between chunks, the noise comes from a counter, and the overlap-add window does not
depend on the start of the chunk. Frame t starts at sample t * hop. F0 and voicing are values at frame starts and linear
in between.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.small.config import SmallConfig


def following(x: Tensor, mask: Tensor) -> Tensor:
    """The value at the next frame start; the last frame repeats its own. x (B, F), mask (B, F) -> (B, F)."""
    held = torch.cat([x[:, 1:], x[:, -1:]], dim=1)
    valid = torch.cat([mask[:, 1:], mask[:, -1:]], dim=1)
    return torch.where(valid > 0, held, x)


class SourceFilter(nn.Module):
    """Synthesises a waveform from per-frame controls. It has no parameters.

    matmul_dft: compute the Fourier transforms as products with a fixed matrix, for devices without an FFT.
    """

    window: Tensor
    overlap: Tensor
    ramp: Tensor
    cosine: Tensor
    sine: Tensor
    weight: Tensor

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        self.rate, self.hop, self.n_fft = config.sample_rate, config.hop, config.n_fft
        self.top_harmonic = config.top_harmonic
        self.matmul_dft = False
        window = torch.hann_window(self.n_fft)
        self.hops = -(-self.n_fft // self.hop)  # hops per window, rounded up
        self.side = (self.n_fft - self.hop) // 2  # a window reaches this far before and after its frame
        overlap = F.pad(window**2, (0, self.hops * self.hop - self.n_fft)).view(self.hops, self.hop).sum(0)
        angle = torch.outer(torch.arange(self.n_fft), torch.arange(config.n_bins)).double() % self.n_fft
        angle = angle * (2 * math.pi / self.n_fft)
        weight = torch.full((config.n_bins,), 2.0 / self.n_fft)
        weight[0] = weight[-1] = 1.0 / self.n_fft
        self.register_buffer("window", window, persistent=False)  # (n_fft,)
        self.register_buffer("overlap", overlap, persistent=False)  # (hop,) sum of squared windows
        self.register_buffer("ramp", torch.arange(self.hop) / self.hop, persistent=False)  # (hop,) 0 ... < 1
        self.register_buffer("cosine", torch.cos(angle).float(), persistent=False)  # (n_fft, bins)
        self.register_buffer("sine", torch.sin(angle).float(), persistent=False)
        self.register_buffer("weight", weight, persistent=False)  # (bins,)

    def frame_phase(self, f0: Tensor, mask: Tensor) -> Tensor:
        """Cycles from the first frame start to each, float64: f0 (B, F) in Hz -> (B, F + 1)."""
        cycles = (f0 + following(f0, mask)).double() * (0.5 * self.hop / self.rate)
        return F.pad(torch.cumsum(cycles, dim=1), (1, 0))

    def pulses(self, f0: Tensor, voiced: Tensor, phase: Tensor, mask: Tensor) -> Tensor:
        """About unit power where voiced: f0, voiced, mask (B, F), phase (B, F) float64 cycles -> (B, F * hop)."""
        f0, change = f0.unsqueeze(-1), (following(f0, mask) - f0).unsqueeze(-1)  # (B, F, 1)
        ramp = self.ramp
        within = (f0 * ramp + 0.5 * change * ramp**2) * (self.hop / self.rate)  # (B, F, hop) cycles
        turn = phase.unsqueeze(-1) + within.double()
        angle = (turn - torch.round(turn)).float() * (2 * math.pi)  # -pi ... pi
        fit = self.top_harmonic / (f0 + change * ramp)  # harmonics, a real number
        full = torch.floor(fit) - 1.0
        half = torch.sin(0.5 * angle)
        near = half.abs() < 1e-5
        kernel = torch.sin((full + 0.5) * angle) / (2 * torch.where(near, torch.ones_like(half), half)) - 0.5
        # the highest harmonic fades in and out; otherwise its switching would depend on the last bit of F0
        highest = (fit - full - 1.0) * torch.cos((full + 1.0) * angle)
        pulse = (torch.where(near, full, kernel) + highest) * torch.sqrt(2 / fit)
        level = voiced.unsqueeze(-1) + (following(voiced, mask) - voiced).unsqueeze(-1) * ramp
        return (pulse * level).flatten(1)

    def forward(self, pulses: Tensor, noise: Tensor, harmonic: Tensor, noisy: Tensor, mask: Tensor) -> Tensor:
        """Filters and adds pulses and noise (B, N), N = F * hop -> (B, N). mask (B, F).

        harmonic, noisy (B, F, bins): magnitudes; the harmonic one may be complex.
        """
        frames = harmonic.shape[1]
        source = (
            torch.stack([pulses, noise], dim=1).unflatten(-1, (frames, self.hop)) * mask[:, None, :, None]
        )
        padded = F.pad(source.flatten(2), (self.side, self.side))
        windows = padded.unfold(-1, self.n_fft, self.hop) * self.window  # (B, 2, F, n_fft)
        filters = torch.stack([harmonic, noisy.to(harmonic.dtype)], dim=1)
        filters = filters * mask[:, None, :, None]  # (B, 2, F, bins)
        if self.matmul_dft:
            real, imaginary = windows @ self.cosine, windows @ self.sine  # of the conjugate spectrum
            if filters.is_complex():
                a, b = filters.real, -filters.imag
                real, imaginary = real * a - imaginary * b, real * b + imaginary * a
            else:
                real, imaginary = real * filters, imaginary * filters
            real, imaginary = real.sum(1) * self.weight, imaginary.sum(1) * self.weight
            pieces = real @ self.cosine.t() + imaginary @ self.sine.t()
        else:
            pieces = torch.fft.irfft((torch.fft.rfft(windows) * filters).sum(1), n=self.n_fft)
        pieces = F.pad(pieces * self.window, (0, self.hops * self.hop - self.n_fft))  # (B, F, hops * hop)
        pieces = pieces.unflatten(-1, (self.hops, self.hop))
        shifted = [F.pad(pieces[:, :, k], (0, 0, k, self.hops - 1 - k)) for k in range(self.hops)]
        added = torch.stack(shifted).sum(0)
        waveform = (added / self.overlap).flatten(1)  # (B, (F + hops - 1) * hop), begins `side` early
        return waveform[:, self.side : self.side + frames * self.hop]
