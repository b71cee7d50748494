"""The generator in bf16 on a CPU: its layers, and how far its sound is from fp32."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from deployments.contract.errors import ConfigError
from deployments.engine.device.choose import choose_device
from deployments.families.gpt_sovits import vocoder as vits_vocoder
from deployments.families.gpt_sovits.family import load
from deployments.families.gpt_sovits.vits.generator import ResBlock
from deployments.families.gpt_sovits.vits.packed import PackedConv, PackedResBlock, PackedUp, bf16_is_fast
from deployments.families.gpt_sovits.vocoder import VitsVocoder
from tests.families.gpt_sovits.test_vocoder import (  # noqa: F401 (fixtures)
    CPU_DEVICE,
    net,
    streamed,
    vocoded,
    whole,
)

ROUNDING = 2.0**-8
needs_bf16 = pytest.mark.skipif(not bf16_is_fast(), reason="this CPU has no instructions for bf16")


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def near(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < 4 * ROUNDING * wanted.abs().max()


@needs_bf16
@pytest.mark.parametrize(("kernel", "step"), [(3, 1), (7, 3), (11, 5)])
def test_a_packed_convolution_is_the_convolution(kernel, step):
    conv = nn.Conv1d(16, 32, kernel, padding="same", dilation=step)
    x = torch.randn(2, 16, 70)
    near(PackedConv(conv)(x).float(), conv(x))


@needs_bf16
@pytest.mark.parametrize("kernel", [3, 11])
def test_a_packed_residual_block_is_the_block(kernel):
    block = ResBlock(16, kernel, (1, 3, 5))
    x = torch.randn(2, 16, 200)
    found = PackedResBlock(block)(x)
    assert found.dtype == torch.float32
    near(found, block(x, None))


@needs_bf16
@pytest.mark.parametrize(("size", "rate"), [(16, 10), (20, 10), (16, 8), (8, 2), (2, 2), (4, 2)])
def test_a_packed_upsampling_is_the_upsampling(size, rate):
    up = nn.ConvTranspose1d(16, 8, size, rate, padding=(size - rate) // 2)
    x = torch.randn(2, 16, 23)
    near(PackedUp(up)(x), up(x))


@needs_bf16
def test_the_sound_is_close_to_that_in_fp32_and_repeats(net, whole):  # noqa: F811
    """By more than 35 dB, whole and in a stream."""
    exact = VitsVocoder(copy.deepcopy(net), CPU_DEVICE)
    fast = VitsVocoder(copy.deepcopy(net), CPU_DEVICE, bf16=True)
    for made in (lambda model: vocoded(model, [whole])[0].waveform, lambda model: streamed(model, whole)):
        one, other = made(exact), made(fast)
        error = np.sqrt(np.mean((one - other) ** 2))
        assert 0 < error < 10 ** (-35 / 20) * np.sqrt(np.mean(one**2))
        np.testing.assert_array_equal(other, made(fast))


def files(golden, **options) -> dict:
    return {"model_dir": str(golden / "bundle"), "gpt": "s1.ckpt", "sovits": "s2_v2Pro.pth"} | options


@pytest.mark.parametrize("able", [True, False])
def test_a_cpu_without_bf16_uses_fp32(gpt_sovits, whole, monkeypatch, caplog, able):  # noqa: F811
    if able and not bf16_is_fast():
        pytest.skip("this CPU has no instructions for bf16")
    monkeypatch.setattr(vits_vocoder, "bf16_is_fast", lambda: able)
    device = choose_device("cpu")
    plain, asked = (load(files(gpt_sovits, decoder=kind)).vocoder(device) for kind in ("fp32", "bf16"))
    assert isinstance(plain, VitsVocoder) and isinstance(asked, VitsVocoder)
    same = np.array_equal(vocoded(plain, [whole])[0].waveform, vocoded(asked, [whole])[0].waveform)
    assert same is not able
    assert ("fp32" in caplog.text) is not able


def test_other_decoders_have_no_such_choice(gpt_sovits, gpt_sovits_v3v4):
    there = gpt_sovits_v3v4 / "bundle"
    options = {"sovits": f"{there}/s2_v4.pth", "hifigan": f"{there}/gsv-v4-pretrained/vocoder.pth"}
    with pytest.raises(ConfigError, match=r"family\.options\.decoder"):
        load(files(gpt_sovits, decoder="bf16", **options))
