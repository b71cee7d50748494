"""Resampling of reference recordings, with the filter that published models were trained with."""

import math

import numpy as np
import soxr
import torch
from torch import Tensor
from torchaudio.transforms import Resample

MAX_KERNEL = 1 << 20  # most numbers in a resampling kernel; the usual rates need under 50 000


def resample(waveform: np.ndarray, rate: int, target: int) -> Tensor:
    """float32 (N,) at `rate` Hz -> float32 (ceil(N * target / rate),), or one sample less, at `target` Hz.

    The filter is a sinc with a Hann window, 6 zero crossings on each side, and a cutoff at 0.99 of the lower Nyquist
    frequency. A rate that reduces with the target to o : n takes `o * n` taps, up to a billion for 44101, so unusual
    rates use soxr, whose memory is bounded.
    """
    common = math.gcd(rate, target)
    if rate * target // common**2 > MAX_KERNEL:
        return torch.from_numpy(np.asarray(soxr.resample(waveform, rate, target), np.float32))
    samples = torch.from_numpy(np.array(waveform, np.float32, order="C"))  # a copy: it may be read-only
    filtered = Resample(rate, target, lowpass_filter_width=6, rolloff=0.99)  # taps from double precision
    return filtered(samples)
