"""The meter against known signals and against another meter; the gain and the limiter by what comes out."""

from __future__ import annotations

import math

import numpy as np
import pyloudnorm
import pytest
import soxr

from serve_app.books.limiter import Limiter
from serve_app.books.loudness import CEILING, REDUCTION, TARGET, Gain, Loudness, gain_for, measure

RATE = 24_000


def tone(decibels: float, seconds: float = 10.0, pitch: float = 1000.0, rate: int = RATE) -> np.ndarray:
    """decibels: of its peak, relative to full scale."""
    t = np.arange(round(seconds * rate)) / rate
    return (10 ** (decibels / 20) * np.sin(2 * np.pi * pitch * t)).astype(np.float32)


def voice(seed: int = 0, seconds: int = 20, rate: int = RATE) -> np.ndarray:
    """Noise in syllables with pauses, and pulses 20 dB above it: as loud and as spiky as speech."""
    rng = np.random.default_rng(seed)
    t = np.arange(seconds * rate) / rate
    envelope = np.maximum(0, np.sin(2 * np.pi * 3 * t)) * (np.sin(2 * np.pi * 0.3 * t) > -0.5)
    noise = np.convolve(
        rng.standard_normal(len(t)), [0.25, 0.5, 0.25], "same"
    )  # little at half the rate, as in speech
    sound = 0.08 * envelope * noise
    for at in rng.integers(0, len(t) - 40, 30):
        sound[at : at + 40] += 0.3 * np.hanning(40) * rng.choice([-1, 1])
    return sound.astype(np.float32)


def peak(sound: np.ndarray, rate: int = RATE) -> float:
    """The true peak in dB, over 8 times the samples."""
    return 20 * math.log10(np.abs(soxr.resample(np.pad(sound, 1000), rate, 8 * rate, quality="VHQ")).max())


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 44_100, 48_000])
def test_a_tone_of_1_khz_has_the_loudness_that_the_standard_gives(rate):
    found = measure([tone(-20.0, rate=rate)], rate)
    assert found.integrated == pytest.approx(
        -23.0, abs=0.1
    )  # BS.1770: one channel of a sine is 3 dB below its peak
    assert found.true_peak == pytest.approx(-20.0, abs=0.1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_another_meter_agrees(seed, rate):
    sound = voice(seed, rate=rate)
    found = measure(np.array_split(sound, 13), rate)
    assert found.integrated == pytest.approx(
        pyloudnorm.Meter(rate).integrated_loudness(sound.astype(float)), abs=0.15
    )
    assert found.true_peak == pytest.approx(peak(sound, rate), abs=0.15)


def test_blocks_of_any_size_give_the_same():
    sound = voice()
    assert measure(np.array_split(sound, 1000), RATE) == measure([sound], RATE)


def test_a_peak_at_the_very_end_is_measured():
    sound = tone(-30.0, 3.02)
    sound[-30:-10] = 0.5
    assert measure([sound], RATE).true_peak > -7


def test_silence_and_sounds_too_short_to_measure_get_no_gain():
    assert measure([np.zeros(RATE * 2, np.float32)], RATE).integrated == -math.inf
    assert measure([], RATE) == Loudness(-math.inf, -math.inf)
    assert gain_for(measure([tone(-6.0, 0.1)], RATE)).decibels == 0.0


def test_a_sound_with_low_peaks_is_only_scaled():
    sound = tone(-30.0)
    gain = gain_for(measure([sound], RATE))
    raised = np.concatenate(list(gain.apply(np.array_split(sound, 7), RATE)))
    assert not gain.limited and gain.held_back == 0
    assert measure([raised], RATE).integrated == pytest.approx(TARGET, abs=0.1)
    np.testing.assert_array_equal(raised, sound * np.float32(10 ** (gain.decibels / 20)))


@pytest.mark.parametrize("seed", range(4))
def test_a_spiky_sound_reaches_the_target_and_its_peaks_stay_under_the_ceiling(seed):
    sound = voice(seed)
    gain = gain_for(measure([sound], RATE))
    raised = np.concatenate(list(gain.apply(np.array_split(sound, 50), RATE)))
    assert gain.limited and len(raised) == len(sound)
    assert peak(sound) + gain.decibels > CEILING + 0.5, "without a limiter the peaks would be too high"
    assert peak(raised) < CEILING
    assert measure([raised], RATE).true_peak < CEILING
    assert measure([raised], RATE).integrated == pytest.approx(TARGET, abs=1.0)
    untouched = raised == sound * np.float32(10 ** (gain.decibels / 20))
    assert untouched.mean() > 0.8, "only what surrounds a peak is changed"


def test_peaks_are_never_reduced_by_more_than_6_db():
    gain = gain_for(Loudness(-40.0, -1.0))
    assert gain.decibels == CEILING + 1.0 + REDUCTION
    assert gain.held_back == pytest.approx(TARGET + 40.0 - gain.decibels)


def test_the_limiter_does_not_depend_on_the_size_of_blocks():
    sound = 2 * voice()
    once = np.concatenate(list(Limiter(RATE, 0.8).process([sound])))
    parts = np.concatenate(list(Limiter(RATE, 0.8).process(np.array_split(sound, 333))))
    np.testing.assert_allclose(once, parts, atol=1e-6)
    assert len(once) == len(sound)


@pytest.mark.parametrize("size", [0, 1, 7, 5000])
def test_the_limiter_returns_as_many_samples_as_it_takes(size):
    blocks = list(Limiter(RATE, 0.5).process([np.full(size, 0.9, np.float32)]))
    limited = np.concatenate([np.zeros(0, np.float32), *blocks])
    assert len(limited) == size
    assert np.abs(limited).max(initial=0) <= 0.5


def test_peaks_between_samples_are_limited():
    t = np.arange(RATE)
    sound = np.sin(2 * np.pi * t / 4 + np.pi / 4).astype(np.float32)  # its samples are 3 dB below its peaks
    limited = np.concatenate(list(Limiter(RATE, 0.8).process([sound])))
    assert peak(limited[1000:-1000]) < 20 * math.log10(0.8) + 0.1


def test_no_gain_leaves_the_sound_as_it_is():
    sound = tone(-3.0, 1.0)
    np.testing.assert_array_equal(np.concatenate(list(Gain(0.0).apply([sound], RATE))), sound)
