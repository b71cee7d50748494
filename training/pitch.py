"""F0 without a teacher or WORLD: of recordings, and for the judges."""

from __future__ import annotations

import numpy as np
import torch

from deployments.families.small import f0
from training.utterances import HOP, RATE


def measured_f0(waveform: np.ndarray) -> np.ndarray:
    """F0 in Hz at the start of each frame of HOP samples, 0 where unvoiced: (N,) -> (N / HOP,)."""
    side = int(f0.WINDOW_S * RATE) // 2
    log_f0 = f0.track(torch.from_numpy(np.pad(waveform, side)).unsqueeze(0), RATE, HOP)[0]
    return torch.nan_to_num(log_f0.exp()).numpy()[: len(waveform) // HOP]
