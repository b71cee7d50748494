"""Limits the peaks of a stream of sound to a ceiling.

The gain dips around a peak for a few hundredths of a second, without delay. All other samples stay unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

HALF_S = 0.02  # from where the gain begins to fall to the peak
PHASES = 8  # values between two samples: true peaks lie between samples
TAPS = 16  # samples on each side that make up such a value
LOW = 0.5  # of the ceiling; between samples below it no peak reaches it
BLOCK = 1 << 16  # samples at once


class Limiter:
    """ceiling: the highest true peak, as a factor."""

    def __init__(self, rate: int, ceiling: float) -> None:
        self._ceiling, self._half = ceiling, max(2, round(HALF_S * rate))
        self._half += self._half % 2
        self._around = TAPS + 2 * self._half  # samples on each side that decide on the gain
        times = np.arange(1 - TAPS, TAPS + 1)[None] - np.arange(1, PHASES)[:, None] / PHASES
        window = np.i0(9 * np.sqrt(np.maximum(0, 1 - (times / TAPS) ** 2))) / np.i0(9)
        self._filters = (np.sinc(times) * window)[:, ::-1]  # (7, 24)

    def process(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """blocks: float32 (N,). Yields as many samples."""
        around = self._around
        held = np.zeros(around, np.float32)
        for block in blocks:
            for start in range(0, len(block), BLOCK):
                held = np.concatenate([held, block[start : start + BLOCK]], dtype=np.float32)
                if len(held) > 2 * around:
                    yield self._limited(held)
                    held = held[-2 * around :]
        last = np.concatenate([held, np.zeros(around, np.float32)])
        if len(last) > 2 * around:
            yield self._limited(last)

    def _limited(self, x: np.ndarray) -> np.ndarray:
        """x: float32 (around + N + around,). Returns the N samples in the middle."""
        middle = x[self._around : len(x) - self._around]
        if np.abs(x).max() < LOW * self._ceiling:
            return middle
        allowed = np.minimum(1.0, self._ceiling / np.maximum(self._true_peaks(x), 1e-9))
        if allowed.min() == 1.0:
            return middle
        gain = _lowest(allowed, 2 * self._half + 1)
        for _ in range(2):  # two averages are a triangle
            gain = _mean(gain, self._half + 1)
        return (middle * np.minimum(gain, 1.0)).astype(np.float32)

    def _true_peaks(self, x: np.ndarray) -> np.ndarray:
        """The highest value at and next to each sample: (len(x) - 2 TAPS,)."""
        between = np.max(
            [np.abs(np.convolve(x, f, "valid")) for f in self._filters], axis=0
        )  # after sample TAPS - 1
        return np.max([np.abs(x[TAPS:-TAPS]), between[:-1], between[1:]], axis=0)


def _lowest(values: np.ndarray, size: int) -> np.ndarray:
    """The minimum of each `size` neighbours: (len(values) - size + 1,)."""
    count = len(values) - size + 1
    rows = np.pad(values, (0, -len(values) % size), constant_values=1.0).reshape(-1, size)
    after = np.minimum.accumulate(rows[:, ::-1], axis=1)[:, ::-1].ravel()
    before = np.minimum.accumulate(rows, axis=1).ravel()
    return np.minimum(after[:count], before[size - 1 : size - 1 + count])


def _mean(values: np.ndarray, size: int) -> np.ndarray:
    """The mean of each `size` neighbours: (len(values) - size + 1,)."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[size:] - sums[:-size]) / size
