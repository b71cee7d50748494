"""Pseudo-speakers: teachers with changed pitch, formants and timbre.

The teacher's synthesiser sets the pitch. Resampling shifts the formants; its effect on the pitch is compensated
beforehand. A smooth equaliser of a few decibels changes the timbre. A persona's name contains all parameters but the
equaliser, which is derived from the name.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
import soxr

from training.espeak import VARIANTS
from training.teachers.classic import STRANGERS, TEACHERS
from training.utterances import RATE

_BANDS = np.array([0, 300, 800, 1600, 2800, 4500, 8000])  # Hz, at which the equaliser has random gains
_TAPS = 255
WARPS = 0.84, 1.2


@dataclass(frozen=True)
class Persona:
    """teacher: a name in TEACHERS or STRANGERS, or an espeak variant. warp raises the formants, pitch the F0."""

    teacher: str
    language: str = "en"
    warp: float = 1.0
    pitch: float = 1.0
    equalised: bool = False

    @property
    def name(self) -> str:
        plain = f"{self.teacher}-{self.warp:.2f}-{self.pitch:.2f}"
        return plain + "-eq" * self.equalised

    @property
    def asked_pitch(self) -> float:
        """The factor of F0 to request from the teacher, so that it is `pitch` after the warp."""
        return self.pitch / self.warp

    def moved(self, waveform: np.ndarray) -> np.ndarray:
        """The teacher's speech (N,) as spoken by the persona, shorter by `warp`."""
        return moved(waveform, self.warp, _own_equaliser(self.name) if self.equalised else None)


def moved(waveform: np.ndarray, warp: float, taps: np.ndarray | None) -> np.ndarray:
    """(N,) -> (N / warp,) float32: formants and pitch raised by `warp`, timbre filtered with the equaliser's `taps`."""
    if warp != 1.0:
        waveform = soxr.resample(waveform, RATE * warp, RATE)
    if taps is not None:
        waveform = np.convolve(waveform, taps, mode="same")
    return waveform.astype(np.float32)


@cache
def _own_equaliser(name: str) -> np.ndarray:
    return equaliser(np.random.default_rng(zlib.crc32(name.encode())))


def equaliser(rng: np.random.Generator) -> np.ndarray:
    """The linear-phase taps of a random smooth gain curve within 7 dB."""
    decibels = np.interp(np.linspace(0, RATE / 2, 129), _BANDS, rng.uniform(-7, 7, len(_BANDS)))
    response = np.fft.irfft(10 ** (decibels / 20), n=256)
    return np.roll(response, _TAPS // 2)[:_TAPS] * np.hanning(_TAPS)


def variations(teacher: str, language: str, steers: bool, count: int) -> list[Persona]:
    """The unchanged teacher and `count` variations."""
    rng = random.Random(teacher)
    made = [Persona(teacher, language)]
    while len(made) <= count:
        warp = round(rng.uniform(*WARPS), 2)
        pitch = round(warp * rng.uniform(0.75, 1.35), 2) if steers else warp
        made.append(Persona(teacher, language, warp, pitch, rng.random() < 0.7))
    return made


def english(count: int = 24) -> list[Persona]:
    return [p for teacher in TEACHERS.values() for p in variations(teacher.name, "en", teacher.steers, count)]


def mandarin(count: int = 5) -> list[Persona]:
    return [p for variant in VARIANTS for p in variations(variant, "zh", True, count)]


def strangers(count: int = 9) -> list[Persona]:
    """Personas of teachers that are not used in training."""
    return [
        p for teacher in STRANGERS.values() for p in variations(teacher.name, "en", teacher.steers, count)
    ]
