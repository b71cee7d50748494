"""F0 of recordings and for the judges, without a teacher."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.families.small import f0


def measured_log_f0(waveforms: Tensor, rate: int) -> Tensor:
    """Log F0 in log Hz at the start of each frame of 10 ms, NaN where unvoiced: (B, N) -> (B, frames)."""
    side, hop = int(f0.WINDOW_S * rate) // 2, rate // 100
    return f0.track(F.pad(waveforms, (side, side)), rate, hop)[:, : waveforms.shape[1] // hop]


def measured_f0(waveform: np.ndarray, rate: int) -> np.ndarray:
    """The same for one waveform in Hz, 0 where unvoiced: (N,) -> (frames,)."""
    log_f0 = measured_log_f0(torch.from_numpy(waveform).unsqueeze(0), rate)[0]
    return torch.nan_to_num(log_f0.exp()).numpy()
