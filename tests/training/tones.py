"""A made-up language of tones with known phone times, which a network learns within seconds."""

from __future__ import annotations

import numpy as np

from training.next_voice import HOP, PHONES, RATE
from training.utterances import Utterance, levelled

SOUNDS = {
    "m": (250, 0.3),
    "n": (400, 0.4),
    "ˈɑ": (800, 1.0),
    "i": (2300, 0.7),
    "ˈO": (500, 1.0),
    "s": (0, 0.25),
}
SPEAKERS = {"low": 110.0, "high": 210.0}


def utterance(speaker: str, number: int) -> Utterance:
    """Twelve sounds of 60 to 120 ms between two pauses."""
    rng = np.random.default_rng(number)
    symbols = ["^", *rng.choice(list(SOUNDS), 12), "."]
    lengths = np.concatenate([[4], rng.integers(6, 13, 12), [12]])  # frames
    f0 = np.concatenate(
        [
            np.full(n, SPEAKERS[speaker] * (SOUNDS.get(symbol, (0, 0))[0] > 0), np.float32)
            for symbol, n in zip(symbols, lengths, strict=True)
        ]
    )
    seconds = np.arange(lengths.sum() * HOP) / RATE
    parts, at = [], 0
    for symbol, n in zip(symbols, lengths, strict=True):
        own = seconds[at : at + n * HOP]
        at += n * HOP
        formant, level = SOUNDS.get(symbol, (0, 0.0))
        if formant:
            harmonics = SPEAKERS[speaker] * np.arange(1, 30)
            weights = np.exp(-0.5 * ((harmonics - formant) / 250) ** 2) + 0.02
            parts.append(level * (weights @ np.sin(2 * np.pi * np.outer(harmonics, own))))
        else:
            parts.append(level * rng.standard_normal(len(own)))
    waveform = levelled(np.concatenate(parts))
    ends = np.cumsum(lengths) * HOP / RATE
    ends[-1] = len(waveform) / RATE
    return Utterance(
        speaker,
        "en",
        f"text {number}",
        waveform,
        np.pad(f0, (0, len(waveform) // HOP - len(f0))),
        np.array(PHONES.ids(tuple(symbols)), np.int16),
        ends.astype(np.float32),
    )
