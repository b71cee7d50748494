"""Gives questions a rising end, which the teachers hardly produce."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.utterances import F0_CEIL, F0_FLOOR, RATE

RISE_S = 0.4  # before the end of the last voiced sound
RISE = 0.4  # of log F0 at the end: seven semitones
FRAME_MS = 5.0
FADE_S = 0.03


def rising(waveform: np.ndarray) -> np.ndarray:
    """The waveform (N,) with a rising pitch at its end, resynthesised by WORLD (Morise et al. 2016)."""
    import pyworld

    world: Any = pyworld  # type checkers do not know all functions of the compiled module
    samples = waveform.astype(np.float64)
    coarse, times = world.dio(samples, RATE, f0_floor=F0_FLOOR, f0_ceil=F0_CEIL, frame_period=FRAME_MS)
    f0 = world.stonemask(samples, coarse, times, RATE)
    voiced = np.flatnonzero(f0 > 0)
    if not len(voiced):
        return waveform
    stop = times[voiced[-1]]
    start = max(0.0, stop - RISE_S)
    moved = f0 * np.exp(RISE * np.clip((times - start) / (stop - start + 1e-9), 0, 1))
    envelope = world.cheaptrick(samples, f0, times, RATE, f0_floor=F0_FLOOR)
    noise = world.d4c(samples, f0, times, RATE)
    made = world.synthesize(moved, envelope, noise, RATE, FRAME_MS)[: len(samples)]
    made = np.pad(made, (0, len(samples) - len(made)))
    seconds = np.arange(len(samples)) / RATE
    share = np.clip((seconds - start) / FADE_S, 0, 1)
    return (share * made + (1 - share) * samples).astype(np.float32)
