"""What the measurements of benchmarks.gpu share: their thread, their times, and what they say about themselves."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import _bound, _gpu_checkpoints
from deployments.contract.device import Device
from deployments.engine.device.thread import DeviceThread


def graphs_as_due(device: Device, status: dict[str, Any]) -> bool:
    return status["optimize"] == (device.kind == "cuda")


def weights(folder: str | None) -> str:
    """folder: of the checkpoint, None for weights that are part of the project."""
    return f"random, {_gpu_checkpoints.gib(Path(folder))} GiB in all" if folder else "shipped"


def on_device_thread(function: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    thread = DeviceThread("gpu", threads=1)
    try:
        return thread.submit(function).result()
    finally:
        thread.close()


def best_of(rounds: int, ways: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Alternates between the methods. Each returns seconds; the least counts."""
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            best[name] = min(way(), best.get(name, float("inf")))
    return best


def seconds_of(run: Callable[[], Any]) -> float:
    _bound.synchronise()
    began = time.perf_counter()
    run()
    _bound.synchronise()
    return time.perf_counter() - began
