"""The codec's losses."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses import level_loss, mean_where, spectral_loss, without_harmonics


def test_the_level_loss_hears_levels_but_not_noise() -> None:
    one, other = torch.randn(2, 4, 24000, generator=torch.Generator().manual_seed(0)).unbind()
    assert level_loss(one, one) == 0
    assert level_loss(one, other) < 0.25
    assert level_loss(one, 2 * other) == pytest.approx(math.log(2), rel=0.1)


def test_the_spectral_loss_hears_a_missing_tone() -> None:
    seconds = torch.arange(12000) / 24000
    low, high = (0.1 * torch.sin(2 * math.pi * hz * seconds).unsqueeze(0) for hz in (300, 3000))
    assert spectral_loss(low + high, low + high) < 1e-5
    assert spectral_loss(low, low + high) > 0.5 > spectral_loss(1.05 * low, low)


def test_means_are_of_the_marked_values() -> None:
    assert mean_where(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 1.0])) == 5
    assert mean_where(torch.ones(2), torch.zeros(2)) == 0


@pytest.mark.parametrize("hz", [95.0, 240.0])
def test_subtracting_the_period_before_leaves_the_noise(hz: float) -> None:
    torch.manual_seed(0)
    rate, seconds = 24_000, torch.arange(24_000) / 24_000
    f0 = hz * (1 + 0.02 * torch.sin(2 * math.pi * 2 * seconds))
    phase = 2 * math.pi * torch.cumsum(f0, 0) / rate
    pulses = torch.stack([torch.sin(k * phase) / k for k in range(1, int(10_000 / hz))]).sum(0).unsqueeze(0)
    noise, frames = 0.1 * torch.randn(1, rate), f0[120::240].unsqueeze(0)
    left = without_harmonics(pulses, frames, rate)[:, 1000:]
    assert left.square().mean() < 0.02 * pulses.square().mean()
    kept = without_harmonics(noise, frames, rate)
    assert kept.square().mean() == pytest.approx(2 * noise.square().mean().item(), rel=0.15)


def test_harmonics_instead_of_noise_are_seen() -> None:
    """By level, both sounds are equal; without harmonics, one has nothing left."""
    torch.manual_seed(0)
    rate, f0 = 24_000, torch.full((1, 100), 200.0)
    seconds = torch.arange(rate) / rate
    angles = 2 * math.pi * torch.rand(55, 1)
    buzz = torch.cos(2 * math.pi * 200 * torch.arange(1, 56)[:, None] * seconds + angles).sum(0).unsqueeze(0)
    buzz, hiss = 0.1 * buzz / buzz.std(), 0.1 * torch.randn(1, rate)
    seen = level_loss(*(without_harmonics(x, f0, rate)[:, 1000:] for x in (buzz, hiss)))
    assert seen > 3 * level_loss(buzz, hiss)
