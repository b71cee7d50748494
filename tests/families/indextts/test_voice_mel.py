"""Resampling and the log-mel against the published code's."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deployments.families.indextts.mel import HOP, LogMel
from deployments.families.resampling import resample


@pytest.fixture(scope="module")
def facts(expected) -> dict[str, Tensor]:
    return expected("reference")


@pytest.fixture(scope="module")
def rate(golden) -> int:
    return soundfile.info(golden / "reference.wav").samplerate


def test_resampling_is_the_published_one(facts, rate) -> None:
    waveform = resample(facts["wav_native_mono"][0].numpy(), rate, 24000)
    torch.testing.assert_close(waveform, facts["wav_24k"][0], atol=2e-6, rtol=0)


def apart(mel: Tensor, published: Tensor) -> float:
    """The largest difference of magnitudes, relative to the loudest of their frame.

    A float32 transform rounds by this measure, differently on each CPU. In a quiet bin it may be much of the log.
    """
    a, b = mel.double().exp(), published.double().exp()
    return float(((a - b).abs() / b.amax(1, keepdim=True)).max())


def test_the_log_mel_is_the_published_one(facts) -> None:
    mel = LogMel()(facts["wav_24k"])
    assert apart(mel, facts["mel"]) < 2e-6
    loud = facts["mel"] > -3
    assert loud.float().mean() > 0.2
    torch.testing.assert_close(mel[loud], facts["mel"][loud], atol=2e-4, rtol=0)


def test_from_the_recording_to_the_log_mel(facts, rate) -> None:
    mel = LogMel()(resample(facts["wav_native_mono"][0].numpy(), rate, 24000).unsqueeze(0))
    assert apart(mel, facts["mel"]) < 2e-6


def test_a_recording_at_24_khz_is_not_resampled(facts) -> None:
    waveform = facts["wav_24k"][0]
    assert torch.equal(resample(waveform.numpy(), 24000, 24000), waveform)


def sine(rate: int, seconds: float = 1.0, hertz: float = 1000.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(rate=st.integers(4_000, 384_000))
def test_a_tone_keeps_its_frequency_from_any_rate(rate: int) -> None:
    waveform = resample(sine(rate), rate, 24000)
    assert abs(len(waveform) - 24000) <= 1
    middle = slice(2000, 22000)  # without the edges, where padding has an effect
    np.testing.assert_allclose(waveform[middle], sine(24000)[middle], atol=5e-3)


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 32000, 44100, 48000, 96000, 192000])
def test_usual_rates_use_the_published_filter(rate: int, monkeypatch) -> None:
    monkeypatch.setattr("deployments.families.resampling.soxr", None)
    assert len(resample(sine(rate), rate, 24000)) == 24000


def test_coprime_rates_cost_little_memory() -> None:
    waveform = sine(44101)  # the published filter would have 44101 * 24000 taps and take 8 GB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, the peak so far
    assert abs(len(resample(waveform, 44101, 24000)) - 24000) <= 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_a_read_only_waveform_is_accepted(recwarn) -> None:
    for rate in (16000, 24000):
        waveform = sine(rate)[::-1]
        waveform.flags.writeable = False
        assert len(resample(waveform, rate, 24000)) == 24000
    assert not recwarn.list


@given(samples=st.integers(513, 8000))
@settings(max_examples=20, deadline=None)
def test_frames_per_sample(samples: int) -> None:
    mel = LogMel()(torch.zeros(2, samples))
    assert mel.shape == (2, 100, samples // HOP + 1)
    assert torch.all(mel == np.log(np.float32(1e-7)))
