from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.families.bigvgan import antialias
from deployments.families.bigvgan.antialias import AntiAliasedSnake, low_pass
from deployments.families.bigvgan.receptive_field import ACTIVATION, Window


def activation(channels: int, block: int = antialias.BLOCK) -> AntiAliasedSnake:
    generator = torch.Generator().manual_seed(channels)
    layer = AntiAliasedSnake(channels)
    layer.act.alpha.data = torch.randn(channels, generator=generator)
    layer.act.beta.data = torch.randn(channels, generator=generator)
    layer.prepare(block)
    return layer


def by_definition(layer: AntiAliasedSnake, x: Tensor) -> Tensor:
    """The definition, step by step in float64: x (B, T, C)."""
    channels = x.shape[2]
    taps = low_pass().expand(channels, 1, -1)
    x = F.pad(x.double().transpose(1, 2), (5, 5), mode="replicate")
    x = 2 * F.conv_transpose1d(x, taps, stride=2, groups=channels)[..., 15:-15]
    alpha, beta = (value.data.double().exp()[:, None] for value in (layer.act.alpha, layer.act.beta))
    x = x + torch.sin(x * alpha) ** 2 / (beta + 1e-9)
    x = F.conv1d(F.pad(x, (5, 6), mode="replicate"), taps, stride=2, groups=channels)
    return x.transpose(1, 2).float()


def signal(batch: int, frames: int, channels: int) -> Tensor:
    return torch.randn(batch, frames, channels, generator=torch.Generator().manual_seed(frames))


def test_the_filter_is_the_stored_one(expected: Callable[[str], dict[str, Tensor]]) -> None:
    stored = expected("vocoder")
    for name in ("up_filter", "down_filter"):
        torch.testing.assert_close(low_pass().float(), stored[name].flatten(), rtol=0, atol=1e-6)
    assert low_pass().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("frames", [1, 2, 5, 6, 7, 8, 9, 40, 1001])
@pytest.mark.parametrize(("channels", "block"), [(1, 8), (3, 8), (24, 8), (5, 32)])
def test_whole_signals_match_the_definition(frames: int, channels: int, block: int) -> None:
    layer, x = activation(channels, block), signal(2, frames, channels)
    whole = Window.whole(frames)
    torch.testing.assert_close(layer(x, whole, whole), by_definition(layer, x), rtol=0, atol=2e-5)


def test_tiling_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = activation(5), signal(1, 777, 5)
    whole = Window.whole(777)
    monkeypatch.setattr(antialias, "_TILE", 300)
    torch.testing.assert_close(layer(x, whole, whole), by_definition(layer, x), rtol=0, atol=2e-5)


@pytest.mark.parametrize(("start", "stop"), [(0, 10), (3, 4), (20, 43), (80, 100), (0, 100)])
def test_a_window_is_computed_from_its_receptive_field(start: int, stop: int) -> None:
    layer, x = activation(4), signal(1, 100, 4)
    want = Window(start, stop, 100)
    have = want.grown(ACTIVATION).clipped()
    made = layer(x[:, have.start : have.stop], have, want)
    torch.testing.assert_close(made, by_definition(layer, x)[:, start:stop], rtol=0, atol=2e-5)


def test_frames_beyond_the_ends_are_zero() -> None:
    layer, x = activation(4), signal(1, 30, 4)
    made = layer(x, Window.whole(30), Window(-7, 35, 30))
    assert not made[:, :7].any()
    assert not made[:, 37:].any()
    torch.testing.assert_close(made[:, 7:37], by_definition(layer, x), rtol=0, atol=2e-5)


def test_its_reach_is_as_declared() -> None:
    layer, x = activation(1), signal(1, 41, 1)
    whole, want = Window.whole(41), Window(20, 21, 41)
    before = layer(x, whole, want)
    for distance, changes in ((ACTIVATION, True), (ACTIVATION + 1, False)):
        for frame in (20 - distance, 20 + distance):
            other = x.clone()
            other[:, frame] += 100
            assert torch.equal(layer(other, whole, want), before) is not changes
