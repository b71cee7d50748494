"""Log-mel spectrogram of a reference recording. It runs on the CPU, because some accelerators have no FFT."""

import math

import numpy as np
import soxr
import torch
import torchaudio.functional as AF
from torch import Tensor, nn
from torchaudio.transforms import Resample

from deployments.families.indextts.config import N_MELS, SAMPLE_RATE

N_FFT, HOP = 1024, 256  # samples; the window is as long as the transform
FLOOR = 1e-7  # smaller magnitudes are clamped
MAX_KERNEL = 1 << 20  # most numbers in a resampling kernel; the usual rates need under 50 000


def resample(waveform: np.ndarray, rate: int) -> Tensor:
    """float32 (N,) at `rate` Hz -> float32 (ceil(N * 24000 / rate),), or one sample less, at 24 kHz.

    The models were trained with this filter: a sinc with a Hann window, 6 zero crossings on each side, and a cutoff at
    0.99 of the lower Nyquist frequency. A rate that reduces with 24000 to o : n takes `o * n` taps, up to a billion for
    44101, so unusual rates use soxr, whose memory is bounded.
    """
    common = math.gcd(rate, SAMPLE_RATE)
    if rate * SAMPLE_RATE // common**2 > MAX_KERNEL:
        return torch.from_numpy(np.asarray(soxr.resample(waveform, rate, SAMPLE_RATE), np.float32))
    samples = torch.from_numpy(np.array(waveform, np.float32, order="C"))  # a copy: it may be read-only
    filtered = Resample(rate, SAMPLE_RATE, lowpass_filter_width=6, rolloff=0.99)  # taps from double precision
    return filtered(samples)


class LogMel(nn.Module):
    """Waveform (B, N) at 24 kHz, N > 512 -> log-mel (B, 100, N // 256 + 1), frame t centred at sample 256 t.

    Natural log of magnitudes (not powers) in 100 triangular filters of height 1, equally wide on the HTK mel scale.
    """

    filters: Tensor
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        filters = AF.melscale_fbanks(
            N_FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, N_MELS, SAMPLE_RATE, mel_scale="htk"
        )
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)  # (100, bins)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        spectrum = torch.stft(waveform, N_FFT, HOP, window=self.window, return_complex=True)  # (B, bins, T)
        return torch.log((self.filters @ spectrum.abs()).clamp(min=FLOOR))
