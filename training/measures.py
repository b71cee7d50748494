"""Measures of speech for the judges: clicks, loudness, and confidence intervals."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from training.judges.samples import RATE

CLICK = 12.0  # times the surrounding median
CLICK_BLOCK = RATE // 50  # 20 ms, a period of 50 Hz
CLICK_AROUND = 3  # blocks on each side


def clicks(waveform: np.ndarray) -> int:
    """The number of blocks whose greatest second difference is CLICK times the median of the surrounding blocks."""
    bend = np.abs(np.diff(waveform, 2))
    peaks = bend[: len(bend) // CLICK_BLOCK * CLICK_BLOCK].reshape(-1, CLICK_BLOCK).max(1)
    around = np.pad(peaks, CLICK_AROUND, mode="reflect")
    usual = np.median(sliding_window_view(around, 2 * CLICK_AROUND + 1), axis=-1) + 1e-4
    clicking = peaks > CLICK * usual
    return int((clicking & ~np.roll(clicking, 1)).sum())  # a click across two blocks counts once


def loudness(waveform: np.ndarray) -> float:
    """RMS in dB below full scale."""
    return float(20 * np.log10(np.sqrt(np.mean(waveform**2)) + 1e-9))


def interval(
    wrong: np.ndarray, of: np.ndarray, seed: int = 0, draws: int = 2000
) -> tuple[float, float, float]:
    """The rate sum(wrong) / sum(of) over sentences, and its 95 % bootstrap interval (Efron 1979).

    Without any error the bootstrap fails, so the rule of three applies (Hanley and Lippman-Hand 1983).
    """
    if not wrong.any():
        return 0.0, 0.0, float(min(1.0, 3 / max(3, of.sum())))
    chosen = np.random.default_rng(seed).integers(0, len(wrong), (draws, len(wrong)))
    rates = wrong[chosen].sum(1) / np.maximum(1e-9, of[chosen].sum(1))
    low, high = np.quantile(rates, [0.025, 0.975])
    return float(wrong.sum() / max(1e-9, of.sum())), float(low), float(high)
