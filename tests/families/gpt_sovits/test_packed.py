"""The generator in bf16 on a CPU: its layers, and how far its sound is from fp32."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from deployments.assembly import device as device_of
from deployments.contract.device import Device
from deployments.contract.options import ModelOptions
from deployments.engine.device.choose import choose_device
from deployments.families.gpt_sovits.family import GptSovitsFamily, load
from deployments.families.gpt_sovits.gpt import GptSovitsGpt
from deployments.families.gpt_sovits.text.frontend import GptSovitsFrontend
from deployments.families.gpt_sovits.vits.generator import ResBlock
from deployments.families.gpt_sovits.vits.packed import PackedConv, PackedResBlock, PackedUp
from deployments.families.gpt_sovits.vocoder import VitsVocoder
from deployments.families.gpt_sovits.vocoder_cfm import CfmVocoder
from tests.families.gpt_sovits.test_vocoder import (  # noqa: F401 (fixtures)
    CPU_DEVICE,
    net,
    streamed,
    vocoded,
    whole,
)

ROUNDING = 2.0**-8
HALF = choose_device("cpu", half=True, half_on_cpu=True)
needs_bf16 = pytest.mark.skipif(not HALF.half, reason=HALF.reasons[-1])


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


def chosen(family: GptSovitsFamily, **device) -> Device:
    return device_of(ModelOptions.model_validate({"device": device}), "vocoder", family.spec)


@pytest.mark.parametrize("able", [True, False])
def test_device_half_chooses_the_precision_on_a_cpu(gpt_sovits, whole, monkeypatch, able):  # noqa: F811
    """And the GPT's. BERT keeps fp32 there."""
    if able and not HALF.half:
        pytest.skip(HALF.reasons[-1])
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: able)
    family = load(files(gpt_sovits))
    asked = chosen(family, half=True)
    assert asked.half is able
    plain, half = (family.vocoder(on) for on in (chosen(family), asked))
    assert isinstance(plain, VitsVocoder) and isinstance(half, VitsVocoder)
    same = np.array_equal(vocoded(plain, [whole])[0].waveform, vocoded(half, [whole])[0].waveform)
    assert same is not able
    gpt = family.gpt(asked, 1)
    assert isinstance(gpt, GptSovitsGpt) and gpt.dtype == (torch.bfloat16 if able else torch.float32)
    frontend = family.frontend(asked)
    assert isinstance(frontend, GptSovitsFrontend)
    assert {parameter.dtype for parameter in frontend.bert._net.parameters()} == {torch.float32}


def test_the_decoder_of_v3_and_v4_stays_in_fp32_on_a_cpu(gpt_sovits, gpt_sovits_v3v4):
    there = gpt_sovits_v3v4 / "bundle"
    options = {"sovits": f"{there}/s2_v4.pth", "hifigan": f"{there}/gsv-v4-pretrained/vocoder.pth"}
    family = load(files(gpt_sovits, **options))
    decoder = family.vocoder(chosen(family, half=True))
    assert isinstance(decoder, CfmVocoder)
    assert {parameter.dtype for parameter in decoder.decoder.net.parameters()} == {torch.float32}
