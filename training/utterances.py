"""Utterances, the unit of training: one segment of the frontend with its sound, F0 and phone times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.next_voice import CODE_SAMPLES, HOP, RATE

LOUDNESS = 0.08  # RMS of every utterance
LEAD, TAIL = 0.04, 0.12  # seconds of silence kept at the edges
# A frame is silent below the tenth percentile of the levels plus 8 dB, within these bounds relative to the loudest.
SILENT_DB = -45.0, -32.0
ABOVE_FLOOR = 8.0
SMOOTH = 5  # frames
LONGEST = 14.0  # seconds


@dataclass
class Utterance:
    """ends[i]: the end of phones[i] in seconds. pace: 2.0 is twice the usual one."""

    speaker: str
    language: str
    text: str  # of the whole recording, which decides whether it is held out
    waveform: np.ndarray  # (N,) float32, N a multiple of CODE_SAMPLES
    f0: np.ndarray  # (N / HOP,) Hz at the start of each frame, 0 where unvoiced
    phones: np.ndarray  # (P,) int16, ids of the phone set `stressed`
    ends: np.ndarray  # (P,) float32
    pace: float = 1.0


def loud(waveform: np.ndarray) -> np.ndarray:
    """Whether each frame of HOP samples has sound, (N // HOP,) bool."""
    frames = waveform[: len(waveform) // HOP * HOP].reshape(-1, HOP)
    if not len(frames) or not frames.any():
        return np.zeros(len(frames), bool)
    power = np.convolve(np.mean(frames**2, axis=1), np.full(SMOOTH, 1 / SMOOTH), "same")
    level = 10 * np.log10(power / power.max() + 1e-12)
    return level > np.clip(np.quantile(level, 0.1) + ABOVE_FLOOR, *SILENT_DB)


def sounding(waveform: np.ndarray) -> tuple[float, float]:
    """The start and end of the sound in seconds. Raises ValueError if there is none."""
    found = np.flatnonzero(loud(waveform))
    if not len(found):
        raise ValueError("it is silent")
    return found[0] * HOP / RATE, (found[-1] + 1) * HOP / RATE


def levelled(waveform: np.ndarray) -> np.ndarray:
    """The waveform at the common loudness, padded to a whole number of codes; (N,) float32."""
    usual = np.sqrt(np.mean(waveform**2)) + 1e-6
    waveform = waveform * min(LOUDNESS / usual, 0.95 / (np.abs(waveform).max() + 1e-6))
    return np.pad(waveform, (0, -len(waveform) % CODE_SAMPLES)).astype(np.float32)
