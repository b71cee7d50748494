"""The pitch in a speaker vector, and the vocoder's pitch around it."""

from __future__ import annotations

import math

import pytest
import torch

from deployments.families.small.config import SmallConfig
from deployments.families.small.f0 import pitch_of
from deployments.families.small.speaker import PITCH_MIDDLE, PITCH_SCALE, SpeakerEncoder
from deployments.families.small.vocoder_net import VocoderNet

RATE, HOP = 16000, 160


def voice(f0: torch.Tensor, noise: float = 0.01) -> torch.Tensor:
    """f0 (N,) Hz -> a buzz of twelve harmonics (1, N)."""
    phase = torch.cumsum(f0.double(), 0) / RATE * 2 * math.pi
    buzz = sum(torch.sin(k * phase) / k for k in range(1, 13))
    return (0.1 * torch.as_tensor(buzz) + noise * torch.randn(len(f0))).float().unsqueeze(0)


@pytest.mark.parametrize("f0", [70.0, 101.0, 145.0, 220.0, 310.0, 400.0])
def test_the_median_of_a_steady_voice_is_its_pitch(f0: float) -> None:
    median, spread = pitch_of(voice(torch.full((RATE,), f0)), RATE, HOP)
    assert math.exp(median.item()) == pytest.approx(f0, rel=0.01)
    assert spread.item() < 0.01


def test_the_spread_is_half_of_the_central_range_of_a_glide() -> None:
    glide = torch.exp(torch.linspace(math.log(100.0), math.log(200.0), 2 * RATE))
    median, spread = pitch_of(voice(glide), RATE, HOP)
    assert math.exp(median.item()) == pytest.approx(math.sqrt(100 * 200), rel=0.02)
    assert spread.item() == pytest.approx(0.4 * math.log(2), rel=0.05)


@pytest.mark.parametrize("sound", [torch.zeros(1, RATE), 0.1 * torch.randn(1, RATE)])
def test_unvoiced_sound_gets_a_default_pitch(sound: torch.Tensor) -> None:
    median, spread = pitch_of(sound, RATE, HOP)
    assert 60 < math.exp(median.item()) < 420 and torch.isfinite(spread).all()


def test_a_speaker_vector_ends_with_the_pitch() -> None:
    config = SmallConfig()
    with torch.inference_mode():
        vector = SpeakerEncoder(config)(voice(torch.full((2 * RATE,), 130.0)))
    assert vector.shape == (1, config.speaker_dim)
    assert math.exp(vector[0, -2].item() / PITCH_SCALE + PITCH_MIDDLE) == pytest.approx(130.0, rel=0.01)


def test_the_vocoder_speaks_around_the_speakers_pitch() -> None:
    net = VocoderNet(SmallConfig())
    speaker = torch.zeros(2, net.config.speaker_dim)
    speaker[1, -2] = math.log(2) * PITCH_SCALE  # an octave higher
    low, high = net.base(speaker).tolist()
    assert high - low == pytest.approx(math.log(2))
    assert low == pytest.approx(PITCH_MIDDLE)
