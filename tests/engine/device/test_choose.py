from __future__ import annotations

import sys
import types

import pytest
import torch

from deployments.contract.errors import ConfigError
from deployments.engine.device import choose as module
from deployments.engine.device.choose import choose_device, half_dtype, has_kernels


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("is_half", "TORCH_CUDA_ARCH_LIST", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)


@pytest.fixture
def card(monkeypatch):
    def install(name="NVIDIA H200", capability=(9, 0), built=("sm_80", "sm_90", "compute_90"), count=1):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: name)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: list(built))

    return install


@pytest.fixture
def musa(monkeypatch):
    def install(count=1):
        fake = types.SimpleNamespace(
            is_available=lambda: count > 0,
            device_count=lambda: count,
            get_device_name=lambda index: "MTT S4000",
        )
        monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object())
        monkeypatch.setitem(sys.modules, "torch_musa", types.ModuleType("torch_musa"))
        monkeypatch.setattr(torch, "musa", fake, raising=False)
        # a torch without the MUSA backend does not know this device name
        monkeypatch.setattr(module.torch, "device", lambda kind, index=None: (kind, index))

    return install


def test_only_a_cpu():
    device = choose_device()
    assert (device.kind, device.dtype, device.half) == ("cpu", torch.float32, False)
    assert any("torch_musa is not installed" in reason for reason in device.reasons)
    assert any("CUDA: no device found" in reason for reason in device.reasons)


@pytest.mark.parametrize("instructions", [True, False])
def test_a_cpu_uses_half_precision_if_asked_by_a_family_that_supports_it(monkeypatch, instructions):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    device = choose_device("cpu", half=True, half_on_cpu=True)
    assert (device.dtype, device.half) == (torch.bfloat16 if instructions else torch.float32, instructions)
    assert instructions or any("no instructions for bf16" in reason for reason in device.reasons)
    for half, half_on_cpu in ((True, False), ("auto", True), (False, True)):
        assert choose_device("cpu", half=half, half_on_cpu=half_on_cpu).dtype == torch.float32


def test_a_torch_without_onednn_keeps_fp32_on_a_cpu(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    device = choose_device("cpu", half=True, half_on_cpu=True)
    assert not device.half and any("no oneDNN" in reason for reason in device.reasons)


def test_musa_precedes_cuda_and_never_uses_half_precision(card, musa):
    card()
    musa()
    for half in ("auto", True):
        device = choose_device(half=half)
        assert (device.kind, device.name, device.dtype, device.half) == (
            "musa",
            "MTT S4000",
            torch.float32,
            False,
        )
        assert any("muDNN" in reason for reason in device.reasons)


def test_cuda_is_used_if_musa_has_no_device(card, musa, monkeypatch):
    card()
    musa(count=0)
    device = choose_device()
    assert device.kind == "cuda"
    assert device.reasons[0] == "MUSA: 0 device(s) found"


def test_hidden_cards_are_reported(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    device = choose_device()
    assert device.kind == "cpu"
    assert any("hidden by CUDA_VISIBLE_DEVICES=''" in reason for reason in device.reasons)


@pytest.mark.parametrize(
    ("name", "capability", "dtype"),
    [
        ("NVIDIA H200", (9, 0), torch.bfloat16),
        ("NVIDIA A100", (8, 0), torch.bfloat16),
        ("NVIDIA GeForce RTX 2080 Ti", (7, 5), torch.float16),
        ("Tesla V100", (7, 0), torch.float16),
        ("NVIDIA GeForce GTX 1660 SUPER", (7, 5), torch.float32),
        ("NVIDIA GeForce GTX 1080 Ti", (6, 1), torch.float32),
    ],
)
def test_half_precision_by_card(name, capability, dtype):
    assert half_dtype(name, capability)[0] == dtype


@pytest.mark.parametrize(
    ("half", "word", "expected"),
    [
        ("auto", None, True),
        ("auto", "true", True),
        ("auto", "0", False),
        ("auto", "False", False),
        (False, "true", False),
        (True, "false", True),
    ],
)
def test_the_option_precedes_the_environment(card, monkeypatch, half, word, expected):
    card()
    if word is not None:
        monkeypatch.setenv("is_half", word)
    device = choose_device(half=half)
    assert device.half is expected
    assert device.dtype == (torch.bfloat16 if expected else torch.float32)


def test_half_precision_cannot_be_forced_on_a_card_without_it(card):
    card("Tesla P40", (6, 1), ["sm_60", "sm_70"])
    device = choose_device(half=True)
    assert (device.kind, device.half) == ("cuda", False)
    assert any("6.1 has no fast half precision" in reason for reason in device.reasons)


def test_architecture_list_comes_from_the_card_unless_the_user_set_it(card, monkeypatch):
    card(capability=(8, 6))
    choose_device()
    assert module.os.environ["TORCH_CUDA_ARCH_LIST"] == "8.6"
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "7.5")
    device = choose_device()
    assert module.os.environ["TORCH_CUDA_ARCH_LIST"] == "7.5"
    assert any("kept as the user set it" in reason for reason in device.reasons)


def test_a_card_without_kernels_in_torch_falls_back_to_the_cpu(card):
    card("Tesla K80", (3, 7), ["sm_70", "sm_80"])
    device = choose_device()
    assert device.kind == "cpu"
    assert any("no kernels for it, only sm_70, sm_80" in reason for reason in device.reasons)
    with pytest.raises(ConfigError, match="no kernels"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("capability", "built", "runs"),
    [
        ((8, 6), ["sm_80"], True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_80"], False),
        ((9, 0), ["compute_80"], True),
        ((12, 0), ["sm_90", "sm_120"], True),
        ((9, 0), ["sm_90a"], True),
        ((7, 0), [], False),
    ],
)
def test_has_kernels(capability, built, runs):
    assert has_kernels(capability, built) is runs


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"preference": "tpu"}, "one of auto"),
        ({"preference": "cuda"}, "no device found"),
        ({"preference": "musa:1"}, "not installed"),
        ({"half": "yes"}, "one of auto, true, false"),
        ({"threads": 0}, "at least 1"),
    ],
)
def test_an_impossible_preference_is_refused_with_the_devices_found(arguments, says):
    with pytest.raises(ConfigError, match=says):
        choose_device(**arguments)


def test_an_index_out_of_range_is_refused(card):
    card(count=1)
    with pytest.raises(ConfigError, match="1 device"):
        choose_device("cuda:1")


def test_an_invalid_is_half_is_refused(monkeypatch):
    monkeypatch.setenv("is_half", "maybe")
    with pytest.raises(ConfigError, match="is_half"):
        choose_device()


def test_threads_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert choose_device().threads == 3
    assert choose_device(threads=2).threads == 2


def test_describe_is_plain_data():
    said = choose_device("cpu", threads=1).describe()
    assert said["kind"] == "cpu"
    assert said["dtype"] == "float32"
    assert said["threads"] == 1
    assert isinstance(said["reasons"], list)


def test_a_device_without_the_transform_is_detected(monkeypatch):
    def refuse(*arguments, **options):
        raise NotImplementedError("aten::_fft_r2c")

    module.has_fft.cache_clear()
    monkeypatch.setattr(torch.fft, "rfft", refuse)
    assert module.has_fft(torch.device("cpu")) is False
    module.has_fft.cache_clear()
