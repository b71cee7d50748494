"""The codec's losses."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses import level_loss, mean_where, spectral_loss


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
