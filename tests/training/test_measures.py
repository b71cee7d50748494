"""Measurements of speech with known properties."""

from __future__ import annotations

import numpy as np
import pytest

from training import measures
from training.utterances import RATE

SECONDS = np.arange(2 * RATE) / RATE


def voice(f0: float, glide: float = 0.0) -> np.ndarray:
    """A hum of ten harmonics that glides from `f0` to f0 * (1 + glide)."""
    phase = 2 * np.pi * f0 * (SECONDS + glide * SECONDS**2 / 4)
    return sum(0.1 / k * np.sin(k * phase) for k in range(1, 11)).astype(np.float32)


def test_time_warping_finds_the_stretched_part():
    frames = np.random.default_rng(0).normal(size=(40, 8))
    rows, columns = measures.warped(frames, np.repeat(frames, 2, axis=0))
    assert (rows == columns // 2).all()
    assert (rows[0], columns[0], rows[-1], columns[-1]) == (0, 0, 39, 79)


def test_distance_is_zero_to_oneself_and_six_decibels_by_definition():
    mel = np.random.default_rng(1).normal(size=(30, 80))
    assert measures.distance(mel, mel)[0] == 0
    ripple = np.cos(np.pi / 80 * (np.arange(80) + 0.5) * 3)  # changes the third cepstrum by one
    apart, _ = measures.distance(np.zeros((5, 80)), np.tile(ripple, (5, 1)))
    assert apart == pytest.approx(10 / np.log(10) * np.sqrt(2))


def test_pitch_errors_are_in_semitones():
    path = np.arange(200), np.arange(200)
    error, voicing = measures.pitch_errors(voice(120 * 2 ** (2 / 12)), voice(120), path)
    assert error == pytest.approx(2, abs=0.05)
    assert voicing < 0.05
    half = voice(120) * (SECONDS < 1)
    assert measures.pitch_errors(half, voice(120), path)[1] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("f0", [80, 120, 200, 300])
def test_median_f0(f0):
    assert measures.median_f0([voice(f0)]) == pytest.approx(f0, rel=0.01)
    assert measures.median_f0([np.zeros(RATE, np.float32)]) == 0


def test_clicks_are_counted():
    clean = voice(120, glide=0.3)
    assert measures.clicks(clean) == 0
    for count in (1, 5):
        clicked = clean.copy()
        clicked[np.linspace(4000, 28000, count).astype(int)] += 0.2
        assert measures.clicks(clicked) == count
    crest = 16000 + int(np.argmax(clean[16000:16200]))
    assert measures.clicks(np.concatenate([clean[:crest], -clean[crest:]])) == 1


def test_loudness():
    assert measures.loudness(np.full(100, 0.1, np.float32)) == pytest.approx(-20)


def test_an_interval_holds_the_rate_and_narrows():
    rng = np.random.default_rng(3)
    few, many = (rng.binomial(8, 0.2, count) for count in (20, 2000))
    widths = []
    for wrong in (few, many):
        rate, low, high = measures.interval(wrong, np.full(len(wrong), 8))
        assert low < rate < high
        assert rate == wrong.sum() / (8 * len(wrong))
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


def test_no_errors_still_give_an_interval():
    assert measures.interval(np.zeros(40), np.full(40, 8)) == (0.0, 0.0, pytest.approx(3 / 320))
