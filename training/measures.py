"""Objective measures of speech: distance to a teacher, pitch, clicks, loudness, and confidence intervals."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from training.pitch import measured_f0
from training.utterances import RATE

CEPSTRA = 13  # without the zeroth, which is the loudness
CLICK = 12.0  # times the surrounding median
CLICK_BLOCK, CLICK_AROUND = (
    RATE // 50,
    3,
)  # blocks of 20 ms, a period of 50 Hz, and the number of neighbours on each side


def cepstra(mel: np.ndarray) -> np.ndarray:
    """Natural log-mel (F, M) of amplitudes -> mel cepstra (F, CEPSTRA): log-mel = c0 + sum of c_k cos(k band)."""
    bands = mel.shape[1]
    angles = np.pi / bands * np.outer(np.arange(bands) + 0.5, np.arange(1, CEPSTRA + 1))
    return mel @ (2 / bands * np.cos(angles))


def warped(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dynamic time warping of (F, D) and (G, D) by Euclidean distance: the indices of matching frames, (K,) of each.

    A step advances one frame in either or both (Sakoe and Chiba 1978).
    """
    apart = np.linalg.norm(a[:, None] - b[None], axis=-1)
    f, g = apart.shape
    total = np.full((f + 1, g + 1), np.inf)
    total[0, 0] = 0
    for diagonal in range(f + g - 1):  # of independent cells
        i = np.arange(max(0, diagonal - g + 1), min(f, diagonal + 1))
        j = diagonal - i
        before = np.minimum(np.minimum(total[i, j], total[i, j + 1]), total[i + 1, j])
        total[i + 1, j + 1] = before + apart[i, j]
    path, i, j = [], f, g
    while i and j:
        path.append((i - 1, j - 1))
        ways = ((i - 1, j - 1), (i - 1, j), (i, j - 1))
        i, j = ways[int(np.argmin([total[way] for way in ways]))]
    rows, columns = np.array(path[::-1]).T
    return rows, columns


def distance(mel: np.ndarray, teacher_mel: np.ndarray) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    """Mel-cepstral distortion in dB (Kubichek 1993) along the warped path, and the path."""
    a, b = cepstra(mel), cepstra(teacher_mel)
    rows, columns = warped(a, b)
    squared = ((a[rows] - b[columns]) ** 2).sum(-1)
    return float(10 / np.log(10) * np.sqrt(2 * squared).mean()), (rows, columns)


def pitch_errors(
    made: np.ndarray, teacher: np.ndarray, path: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float]:
    """Waveforms and their path -> the RMS F0 error in semitones where both are voiced, and the share of frames where
    only one is voiced."""
    own, other = (measured_f0(waveform) for waveform in (made, teacher))
    own, other = own[np.minimum(path[0], len(own) - 1)], other[np.minimum(path[1], len(other) - 1)]
    both = (own > 0) & (other > 0)
    semitones = 12 * np.log2(own[both] / other[both]) if both.any() else np.zeros(1)
    return float(np.sqrt(np.mean(semitones**2))), float(np.mean((own > 0) != (other > 0)))


def median_f0(waveforms: list[np.ndarray]) -> float:
    """The median F0 in Hz over all voiced frames; 0 without any."""
    values = np.concatenate([measured_f0(waveform) for waveform in waveforms])
    return float(np.median(values[values > 0])) if (values > 0).any() else 0.0


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
