"""Checks a decoded reference: problems become warnings; a recording without a voice is rejected."""

from __future__ import annotations

import numpy as np
import soxr

from deployments.contract.errors import InvalidInput

RATE = 16_000
WINDOW, HOP = 640, 160  # samples: 40 and 10 ms
LOWEST, HIGHEST = 60.0, 420.0  # Hz of a voice
BLOCK = 256  # frames per call; a whole minute would take 200 MB
LOUD_DB = 30.0  # frames within this distance of the loudest one are examined
THUMP = 15  # frames; a shorter loud sound is a thump, not speech
VOICED = 0.5  # least normalised autocorrelation of a voiced frame
LEAST_VOICED = 0.1  # share of the loud frames; below it, there is no speech
CLIPPED = 5e-4  # share of samples in runs of four or more at the peak
# Levels relative to the peak. In speech, louder levels have fewer samples, unless it was clipped. A level is a bump if
# its share exceeds BUMP times the minimum of the BELOW levels under it; shares below RARE do not count.
LEVELS = np.linspace(0.3, 1.0, 15)
BUMP, BELOW, RARE = 2.0, 4, 1e-4
STEADY_DB = 20.0  # least difference between loud and quiet frames; speech has pauses
NARROW_HZ, NARROW_DB = 3_900.0, -45.0  # a telephone passes nothing above this frequency
APART = 0.5  # difference in log F0 between seconds of one recording: nine semitones

WARNINGS = {
    "clipped": "it is clipped",
    "background": "its level hardly drops between words: it contains noise, music or an echo",
    "narrow_band": "it contains nothing above 4 kHz, like a telephone recording",
    "several_voices": "its pitch changes as if there were several speakers",
    "cut": "it is too long; only its beginning is used, without silence before it",
}


def examine(waveform: np.ndarray, rate: int, param: str) -> tuple[str, ...]:
    """The problems of a mono waveform, float32 (N,), as keys of WARNINGS.

    Raises InvalidInput (param `param`, code no_voice) if almost nothing in it is voiced.
    """
    made = soxr.resample(waveform, rate, RATE) if rate != RATE else waveform
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(made, (0, WINDOW)), WINDOW)[::HOP]
    level = 10 * np.log10(np.mean(frames**2, axis=1, dtype=np.float64) + 1e-12)
    loudest = np.sort(level)[-THUMP:][0]
    loud = np.flatnonzero(level > loudest - LOUD_DB)
    parts = [_voice(frames[loud[i : i + BLOCK]]) for i in range(0, len(loud), BLOCK)]
    strength, f0 = map(np.concatenate, zip(*parts, strict=True))
    voiced = strength > VOICED
    if voiced.mean() < LEAST_VOICED:
        message = f"Invalid '{param}': it contains no voice, only noise or silence."
        raise InvalidInput(message, param=param, code="no_voice")
    pitches = np.where(voiced, np.log(f0), np.nan)
    steady = float(np.percentile(level, 95) - np.percentile(level, 5)) < STEADY_DB
    found = {
        # a steady tone has many samples near its peak
        "clipped": _flat(waveform) or (not steady and _bumpy(waveform)),
        "background": steady,
        "narrow_band": rate <= 2 * NARROW_HZ + 400 or _narrow(made),
        "several_voices": _apart(pitches) > APART,
    }
    return tuple(name for name, is_so in found.items() if is_so)


def _voice(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames (T, WINDOW) -> the best normalised autocorrelation over a voice's lags, and the pitch in Hz, (T,) each."""
    window = np.hanning(WINDOW)
    own = np.fft.irfft(np.abs(np.fft.rfft(window, 2 * WINDOW)) ** 2)[:WINDOW]
    spectra = np.fft.rfft((frames - frames.mean(1, keepdims=True)) * window, 2 * WINDOW)
    correlation = np.fft.irfft(np.abs(spectra) ** 2)[:, :WINDOW]
    normal = correlation / (correlation[:, :1] + 1e-12) * (own[0] / np.maximum(own, 1e-3 * own[0]))
    short, long = int(RATE / HIGHEST), int(RATE / LOWEST)
    lags = np.arange(short, long)
    best = (normal[:, short:long] - 0.04 * np.log2(lags / short)).argmax(1)
    return normal[np.arange(len(normal)), best + short], RATE / (best + short)


def _flat(waveform: np.ndarray) -> bool:
    """True if the waveform stays at its peak."""
    size = np.abs(waveform)
    flat = size >= 0.999 * size.max()
    runs = flat[:-3] & flat[1:-2] & flat[2:-1] & flat[3:]
    return float(runs.mean()) > CLIPPED


def _bumpy(waveform: np.ndarray) -> bool:
    """True if more samples are near some level than below it: the audio was clipped and then converted."""
    size = np.abs(waveform)
    shares = np.histogram(size / size.max(), LEVELS)[0] / len(size) + RARE
    bumps = [shares[i] / shares[i - BELOW : i - 1].min() for i in range(BELOW, len(shares))]
    return max(bumps) > BUMP


def _narrow(waveform: np.ndarray) -> bool:
    power = np.abs(np.fft.rfft(waveform)) ** 2
    above = power[int(NARROW_HZ / (RATE / 2) * len(power)) :].sum()
    return bool(10 * np.log10((above + 1e-12) / (power.sum() + 1e-12)) < NARROW_DB)


def _apart(pitches: np.ndarray, second: int = RATE // HOP, fewest: int = 15) -> float:
    """The difference of the median log pitch between the lowest and the highest second."""
    seconds = [pitches[i : i + second] for i in range(0, len(pitches), second)]
    medians = [np.nanmedian(part) for part in seconds if np.isfinite(part).sum() >= fewest]
    return float(max(medians) - min(medians)) if medians else 0.0
