"""F0 of recordings and for the judges, without a teacher or WORLD."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.families.small import f0
from training.utterances import HOP, RATE


def measured_log_f0(waveforms: Tensor) -> Tensor:
    """Log F0 in log Hz at the start of each frame of HOP samples, NaN where unvoiced: (B, N) -> (B, N / HOP)."""
    side = int(f0.WINDOW_S * RATE) // 2
    return f0.track(F.pad(waveforms, (side, side)), RATE, HOP)[:, : waveforms.shape[1] // HOP]


def measured_f0(waveform: np.ndarray) -> np.ndarray:
    """The same for one waveform in Hz, 0 where unvoiced: (N,) -> (N / HOP,)."""
    return torch.nan_to_num(measured_log_f0(torch.from_numpy(waveform).unsqueeze(0))[0].exp()).numpy()
