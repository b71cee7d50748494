"""The memory bandwidth bound: the bytes that a GPT step must read, and this machine's read bandwidth."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from deployments.engine.invariant import Linear

READS = 30  # of a buffer; the fastest one counts


def bytes_of_a_step(model: Any, batch: int, positions: int) -> int:
    """The bytes of all linear layers' weights, and of the keys and values of `positions` per row."""
    weights = sum(layer.bytes for layer in linear_layers(model))
    layer = model.cache.layers[0]  # (rows, 2, H, C, D)
    per_position = len(model.cache.layers) * layer[0, :, :, 0].numel() * layer.element_size()
    return weights + batch * positions * per_position


def linear_layers(model: Any) -> list[Linear]:
    """Every linear layer that is reachable from the model, each once."""
    found, left, seen = list[Linear](), [model], set[int]()
    while left:
        thing = left.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Linear):
            found.append(thing)
        elif isinstance(thing, list):
            left += thing
        elif isinstance(thing, nn.Module):
            left += list(thing.modules())[1:]
        elif type(thing).__module__.startswith("deployments.families") and hasattr(thing, "__dict__"):
            left += vars(thing).values()
    return found


def read_bandwidth(device: torch.device, size: int) -> float:
    """Bytes per second: the best of many sums over a buffer of `size` bytes."""
    buffer = torch.ones(size // 4, device=device)
    best = float("inf")
    for _ in range(READS):
        synchronise()
        began = time.perf_counter()
        buffer.sum()
        synchronise()
        best = min(best, time.perf_counter() - began)
    return size / best


def copy_bandwidth(device: torch.device, size: int) -> float:
    """Bytes read and written per second: the best of many copies of a buffer of `size` bytes."""
    buffer = torch.ones(size // 4, device=device)
    copy = torch.empty_like(buffer)
    best = float("inf")
    for _ in range(READS):
        synchronise()
        began = time.perf_counter()
        copy.copy_(buffer)
        synchronise()
        best = min(best, time.perf_counter() - began)
    return 2 * size / best


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
