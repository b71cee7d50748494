"""Losses of the codec on waveforms, without and with critics."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

RESOLUTIONS = (256, 512, 1024, 2048)  # samples
LOWEST = 40.0  # Hz
TAPS = 4  # on each side of an interpolated sample
PATCH_FFT, PATCHES = 384, ((8, 3), (16, 8), (4, 16))  # bins of 62.5 Hz, and frames of 8 ms


def spectral_loss(made: Tensor, real: Tensor) -> Tensor:
    """Log-magnitude L1 and spectral convergence at several resolutions; waveforms (B, N)."""
    total = made.new_zeros(())
    for size in RESOLUTIONS:
        window = torch.hann_window(size, device=made.device)
        both = torch.stft(torch.cat([made, real]), size, size // 4, window=window, return_complex=True)
        a, b = (both.real**2 + both.imag**2 + 1e-9).sqrt().chunk(2)
        distance = (torch.log(a + 1e-3) - torch.log(b + 1e-3)).abs().mean()
        convergence = ((a - b) ** 2).sum().sqrt() / ((b**2).sum().sqrt() + 1e-3)
        total = total + (distance + 0.5 * convergence) / len(RESOLUTIONS)
    return total


def level_loss(made: Tensor, real: Tensor) -> Tensor:
    """The log L1 distance of the powers of waveforms (B, N), averaged over patches of time and frequency.

    The power of a patch is hardly random, unlike the magnitude of a bin in noise. Pulses and noise are measured the
    same way, so that the level of a whole phone is right.
    """
    window = torch.hann_window(PATCH_FFT, device=made.device)
    both = torch.stft(torch.cat([made, real]), PATCH_FFT, PATCH_FFT // 2, window=window, return_complex=True)
    power = (both.real**2 + both.imag**2)[:, 1:].unsqueeze(1)
    total = made.new_zeros(())
    for patch in PATCHES:
        a, b = torch.log(F.avg_pool2d(power, patch, tuple(max(1, s // 2) for s in patch)) + 1e-6).chunk(2)
        total = total + (a - b).abs().mean() / (2 * len(PATCHES))  # of amplitudes
    return total


def without_harmonics(waveform: Tensor, f0: Tensor, rate: int) -> Tensor:
    """Subtracts the sound one period earlier: what is left of harmonics is little, and noise stays.

    waveform (B, N), f0 (B, F) in Hz, equally spaced -> (B, N). The delay is interpolated by a windowed sinc.
    """
    length = waveform.shape[1]
    delay = F.interpolate(
        rate / f0.clamp(min=LOWEST).unsqueeze(1), length, mode="linear", align_corners=False
    )[:, 0]
    place = torch.arange(length, device=waveform.device) - delay
    whole = place.floor()
    rest = (place - whole).unsqueeze(-1) - torch.arange(
        1 - TAPS, TAPS + 1, device=waveform.device
    )  # (B, N, 2 TAPS)
    weights = torch.sinc(rest) * torch.cos(0.5 * torch.pi * rest / TAPS) ** 2
    before = math.ceil(rate / LOWEST) + TAPS + 1
    padded = F.pad(waveform, (before, TAPS + 1))
    first = whole.long() + before + 1 - TAPS
    earlier = sum(padded.gather(1, first + tap) * weights[..., tap] for tap in range(2 * TAPS))
    return waveform - earlier


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of the values whose mask is 1; 0 without any."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
