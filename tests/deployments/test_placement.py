"""A replica's device and priority."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from deployments import assembly, placement
from deployments.contract.device import Device
from deployments.contract.errors import ConfigError
from deployments.contract.options import DeviceOptions, ModelOptions


def chosen(**device: str) -> Device:
    """On a thread of its own, because it makes way."""
    options = ModelOptions(device=DeviceOptions(**device))  # pyright: ignore[reportArgumentType]
    spec = assembly.load_family(options).spec
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(placement.device, options, "gpt", spec).result()


def test_a_node_without_the_gpu_that_it_claims_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen().kind == "cpu"
    monkeypatch.setattr(placement, "reserved_gpus", lambda: 0.5)
    with pytest.raises(
        ConfigError, match=r"gpt\.num_gpus: Ray has reserved 0\.5 GPU .*CUDA: no device found"
    ) as refused:
        chosen()
    assert refused.value.param == "gpt.num_gpus"
    assert chosen(preference="cpu").kind == "cpu", "as configured"


def test_outside_of_ray_nothing_is_reserved() -> None:
    assert placement.reserved_gpus() == 0


def test_a_thread_makes_way_with_those_that_it_starts() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before, found = niceness(), []

    def work() -> None:
        placement.make_way()
        found.append(niceness())
        inner = threading.Thread(target=lambda: found.append(niceness()))
        inner.start()
        inner.join()

    outer = threading.Thread(target=work)
    outer.start()
    outer.join()
    assert found == [min(19, max(15, before + 4))] * 2
    assert niceness() == before
