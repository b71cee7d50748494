from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.families.bigvgan import conv as convolutions
from deployments.families.bigvgan.conv import OUT, Conv, toom_cook


def layer(inputs: int, outputs: int, kernel: int, dilation: int, fast: bool) -> tuple[Conv, Tensor, Tensor]:
    """A convolution on the given path, with its weight and bias."""
    generator = torch.Generator().manual_seed(kernel)
    conv = Conv(inputs, outputs, kernel, dilation)
    weight = torch.randn(conv.weight.shape, generator=generator) / (inputs * kernel) ** 0.5
    bias = torch.randn(outputs, generator=generator)
    conv.weight.data, conv.bias.data = weight.clone(), bias.clone()
    conv.fast = fast
    conv.prepare()
    return conv, weight, bias


@pytest.mark.parametrize("taps", [3, 4])
def test_the_algorithm_is_a_filter(taps: int) -> None:
    read, weigh, write = toom_cook(taps)
    assert read.shape == (OUT + taps - 1, OUT + taps - 1)
    generator = torch.Generator().manual_seed(taps)
    x = torch.randn(OUT + taps - 1, generator=generator, dtype=torch.float64)
    w = torch.randn(taps, generator=generator, dtype=torch.float64)
    plain = F.conv1d(x.view(1, 1, -1), w.view(1, 1, -1)).flatten()
    torch.testing.assert_close(write @ ((weigh @ w) * (read @ x)), plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(
    ("kernel", "dilation"), [(3, 1), (3, 3), (3, 5), (7, 1), (7, 5), (11, 1), (11, 3), (11, 5)]
)
@pytest.mark.parametrize("frames", [1, 4, 37, 300])
def test_it_equals_torch_convolution(fast: bool, kernel: int, dilation: int, frames: int) -> None:
    conv, weight, bias = layer(6, 10, kernel, dilation, fast)
    x = torch.randn(2, frames + conv.reach, 6, generator=torch.Generator().manual_seed(frames))
    plain = F.conv1d(x.transpose(1, 2).double(), weight.double(), bias.double(), dilation=dilation)
    made = conv(x)
    assert made.shape == (2, frames, 10)
    torch.testing.assert_close(made.double(), plain.transpose(1, 2), rtol=0, atol=3e-5)


@pytest.mark.parametrize("fast", [False, True])
def test_tiling_does_not_change_the_result(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    conv, weight, bias = layer(4, 4, 7, 3, fast)
    x = torch.randn(1, 1500, 4, generator=torch.Generator().manual_seed(0))
    plain = F.conv1d(x.transpose(1, 2), weight, bias, dilation=3).transpose(1, 2)
    monkeypatch.setattr(convolutions, "_TILE", 1000)
    torch.testing.assert_close(conv(x), plain, rtol=0, atol=3e-5)


@pytest.mark.parametrize("fast", [False, True])
def test_each_row_can_have_its_own_bias(fast: bool) -> None:
    conv, weight, _ = layer(4, 6, 7, 1, fast)
    x = torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(0))
    bias = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    plain = F.conv1d(x.transpose(1, 2), weight).transpose(1, 2) + bias[:, None]
    torch.testing.assert_close(conv(x, bias), plain, rtol=0, atol=3e-5)


def test_the_published_widths_use_the_fast_path_where_it_is_faster() -> None:
    assert Conv(768, 768, 3).fast
    assert Conv(96, 96, 11, 5).fast
    assert not Conv(24, 24, 7).fast
    assert not Conv(1536, 3072, 2).fast
