"""Measurements of speech with known properties."""

from __future__ import annotations

import numpy as np
import pytest

from training import measures
from training.judges.samples import RATE
from training.pitch import measured_f0

SECONDS = np.arange(2 * RATE) / RATE


def voice(f0: float, glide: float = 0.0) -> np.ndarray:
    """A hum of ten harmonics that glides from `f0` to f0 * (1 + glide)."""
    phase = 2 * np.pi * f0 * (SECONDS + glide * SECONDS**2 / 4)
    return sum(0.1 / k * np.sin(k * phase) for k in range(1, 11)).astype(np.float32)


@pytest.mark.parametrize("f0", [80, 120, 200, 300])
@pytest.mark.parametrize("rate", [16000, 24000])
def test_f0_is_measured_at_any_rate(f0: int, rate: int) -> None:
    phase = 2 * np.pi * f0 * np.arange(rate) / rate
    hum = sum(0.1 / k * np.sin(k * phase) for k in range(1, 11)).astype(np.float32)
    found = measured_f0(hum, rate)
    assert len(found) == 100
    assert np.median(found) == pytest.approx(f0, rel=0.01)
    assert not measured_f0(np.zeros(rate, np.float32), rate).any()


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
