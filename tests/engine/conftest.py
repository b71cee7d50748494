"""A small but real GPT built from the engine's parts, and a device thread to run it on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from deployments.contract.device import Device
from deployments.contract.speech import GptRequest, Sampling, Segment, VoicePrompt
from deployments.contract.work import Event, WorkItem
from deployments.engine.decode import Decoder
from deployments.engine.device.choose import choose_device
from deployments.engine.device.thread import DeviceThread
from tests.tiny.gpt import TEXT, WIDTH, TinyGpt


def a_request(index: int, max_tokens: int = 90, **sampling: Any) -> GptRequest:
    """The same index gives the same text, voice and seed."""
    draw = np.random.default_rng(index)
    ids = draw.integers(0, TEXT, size=5 + index % 9)
    prompt = VoicePrompt.of("tiny", {"voice": 0.15 * draw.standard_normal(WIDTH, dtype=np.float32)})
    return GptRequest(
        Segment("", ids),
        prompt,
        Sampling.of(**({"seed": index, "max_tokens": max_tokens, "top_k": 20} | sampling)),
    )


def collect(events: list[Event]) -> dict[str, np.ndarray]:
    """The codes of each item, after a check for gaps, repeats and events after the end."""
    codes: dict[str, list[np.ndarray]] = {}
    ended: set[str] = set()
    for event in events:
        assert event.id not in ended, f"an event after the end of {event.id}"
        assert event.error is None, f"{event.id}: {event.error}"
        runs = codes.setdefault(event.id, [])
        start = runs[0][0] if runs else event.index
        assert event.index == start + sum(len(run) for _, run in runs), "a gap or a repeat"
        runs.append((event.index, event.value.codes if event.value else np.empty(0, np.int64)))
        if event.done:
            ended.add(event.id)
    assert ended == set(codes)
    return {name: np.concatenate([run for _, run in runs]) for name, runs in codes.items()}


def drain(decoder: Decoder) -> list[Event]:
    events: list[Event] = []
    while decoder.active:
        events += decoder.step()
    return events


def decode(decoder: Decoder, requests: dict[str, GptRequest]) -> dict[str, np.ndarray]:
    for name, request in requests.items():
        decoder.admit(WorkItem(name, request))
    return collect(drain(decoder))


@pytest.fixture
def thread() -> Iterator[DeviceThread]:
    device_thread = DeviceThread("device", threads=1)
    yield device_thread
    device_thread.close()


@pytest.fixture
def cpu() -> Device:
    return choose_device("cpu", threads=1)


@pytest.fixture
def on(thread: DeviceThread) -> Callable[..., Any]:
    """Runs a function on the device thread and waits for it."""
    return lambda function, *args: thread.submit(function, *args).result(timeout=120)


@pytest.fixture
def engine() -> Any:
    """The helpers of this file by name."""

    class Engine:
        gpt, request, collect, drain, decode = (
            TinyGpt,
            *map(staticmethod, (a_request, collect, drain, decode)),
        )

    return Engine


@pytest.fixture
def one_thread():
    """One thread, the default of model replicas. The previous setting is restored afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
