"""The mel of a reference, which the flow matching continues. It runs on the CPU: some accelerators have no FFT."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio.functional as AF
from torch import Tensor

from deployments.families.gpt_sovits.cfm.layout import MELS, Layout
from deployments.families.resampling import resample

FLOOR = 1e-5  # smaller magnitudes are clamped
LOW, SPAN = -12.0, 14.0  # of the natural logarithms that are scaled to -1..1


def reference_mel(waveform: np.ndarray, rate: int, layout: Layout) -> np.ndarray:
    """float32 (N,) at `rate` Hz -> the normalised mel (T, 100) that a voice's prompt holds."""
    return normalised(log_mel(resample(waveform, rate, layout.rate), layout)).numpy()


def log_mel(waveform: Tensor, layout: Layout) -> Tensor:
    """float32 (N,) at `layout.rate`, N > window -> natural log-mel (T, 100), T = N // hop.

    Magnitudes in 100 triangular bands of equal area (Slaney's mel scale) up to half the rate. A frame is centred at the
    middle of its hop.
    """
    around = (layout.window - layout.hop) // 2
    padded = F.pad(waveform[None], (around, around), mode="reflect")
    window = torch.hann_window(layout.window)
    spectrum = torch.stft(padded, layout.window, layout.hop, window=window, center=False, return_complex=True)
    magnitude = (torch.view_as_real(spectrum[0]).square().sum(-1) + 1e-8).sqrt()  # (bins, T)
    bands = AF.melscale_fbanks(
        layout.window // 2 + 1, 0.0, layout.rate / 2, MELS, layout.rate, norm="slaney", mel_scale="slaney"
    )
    return (magnitude.T @ bands).clamp(min=FLOOR).log()


def normalised(mel: Tensor) -> Tensor:
    """Natural logarithms to the range that the flow matching works in, about -1..1."""
    return (mel - LOW) / SPAN * 2 - 1


def restored(mel: Tensor) -> Tensor:
    """The inverse of `normalised`."""
    return (mel + 1) / 2 * SPAN + LOW
