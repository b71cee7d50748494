"""Warnings for reference recordings: the shipped voices have none, and each kind of damage is detected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from deployments.contract.errors import InvalidInput
from serve_app.audio.examine import examine
from serve_app.service import SHIPPED_VOICES

RATE = 16_000
NOISE = np.random.default_rng(1)


def recording(name: str, rate: int = RATE) -> np.ndarray:
    waveform, own = soundfile.read(SHIPPED_VOICES / f"{name}.flac", dtype="float32")
    return waveform if own == rate else soxr.resample(waveform, own, rate)


def test_the_shipped_voices_are_not_clipped() -> None:
    for path in SHIPPED_VOICES.glob("*.flac"):
        waveform, rate = soundfile.read(path, dtype="float32")
        assert examine(waveform, rate, "p") == ()
        assert np.abs(waveform).max() < 0.99, path.stem


def seconds(count: float) -> np.ndarray:
    return np.arange(int(count * RATE)) / RATE


@pytest.mark.parametrize("path", sorted(SHIPPED_VOICES.glob("*.flac")), ids=lambda path: path.stem)
@pytest.mark.parametrize("rate", [16_000, 44_100, 96_000])
def test_the_shipped_voices_are_clean(path: Path, rate: int) -> None:
    assert examine(recording(path.stem, rate), rate, "p") == ()


@pytest.mark.parametrize(
    ("spoil", "rate", "warning"),
    [
        (lambda x: np.clip(8 * x, -0.5, 0.5), RATE, "clipped"),
        (lambda x: soxr.resample(np.clip(8 * recording("kai"), -0.5, 0.5), RATE, 44_100), 44_100, "clipped"),
        (
            lambda x: soxr.resample(soxr.resample(np.clip(8 * x, -1, 1), RATE, 22_050), 22_050, RATE),
            RATE,
            "clipped",
        ),
        (lambda x: x + 0.02 * NOISE.standard_normal(len(x)), RATE, "background"),
        (lambda x: soxr.resample(x, RATE, 8_000), 8_000, "narrow_band"),
        (lambda x: soxr.resample(soxr.resample(x, RATE, 8_000), 8_000, RATE), RATE, "narrow_band"),
        (lambda x: np.concatenate([x, recording("clara")]), RATE, "several_voices"),
    ],
)
def test_each_problem_gets_its_warning(
    spoil: Callable[[np.ndarray], np.ndarray], rate: int, warning: str
) -> None:
    assert warning in examine(spoil(recording("ross")).astype(np.float32), rate, "p")


def test_music_gets_a_warning() -> None:
    at = seconds(4)
    chord = sum(np.sin(2 * np.pi * f * at) for f in (220, 277, 330, 440))
    assert "background" in examine((0.1 * np.asarray(chord)).astype(np.float32), RATE, "p")


@pytest.mark.parametrize("level", [1.0, 0.01])
def test_a_thump_does_not_hide_the_speech(level: float) -> None:
    waveform = level * recording("clara")
    waveform[RATE : RATE + RATE // 20] += 0.3 * NOISE.standard_normal(RATE // 20)
    assert examine(waveform.astype(np.float32), RATE, "p") == ()


@pytest.mark.parametrize(
    "sound",
    [
        0.1 * NOISE.standard_normal(3 * RATE),
        0.1 * soxr.resample(NOISE.standard_normal(3 * 8_000), 8_000, RATE),
    ],
)
def test_a_recording_without_speech_is_refused(sound: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="no voice") as caught:
        examine(sound.astype(np.float32), RATE, "audio_sample")
    assert (caught.value.param, caught.value.code) == ("audio_sample", "no_voice")
