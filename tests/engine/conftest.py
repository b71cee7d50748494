"""A small but real GPT built from the engine's parts, and a device thread to run it on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from deployments.contract.device import Device
from deployments.contract.family import Prefill
from deployments.contract.speech import GptRequest, Sampling, Segment, VoicePrompt
from deployments.contract.work import Event, WorkItem
from deployments.engine import invariant
from deployments.engine.decode import Decoder
from deployments.engine.decode.kv_cache import KVCache
from deployments.engine.decode.sampling import SamplingState
from deployments.engine.device.choose import choose_device
from deployments.engine.device.thread import DeviceThread

LAYERS, WIDTH, HEADS, CODES, TEXT = 2, 64, 4, 60, 40


@dataclass
class Output:
    codes: Tensor
    done: Tensor
    frames: Tensor | None = None
    kept: Tensor | None = None


class TinyGpt:
    """A transformer decoder with random weights: a text and a voice vector to codes, with a stop head."""

    def __init__(self, slots: int, context: int, device: torch.device) -> None:
        self.slots, self.context, self.max_codes = slots, context, context
        make = torch.Generator().manual_seed(7)

        def weight(*shape: int) -> Tensor:
            scale = shape[-1] ** -0.5 if len(shape) > 1 else 0.1
            return (torch.randn(*shape, generator=make) * scale).bfloat16().float().to(device)

        self.text, self.codes, self.places = (
            weight(TEXT, WIDTH),
            4 * weight(CODES, WIDTH),
            weight(context, WIDTH),
        )
        self.qkv = [invariant.Linear(weight(3 * WIDTH, WIDTH), weight(3 * WIDTH)) for _ in range(LAYERS)]
        self.out = [invariant.Linear(weight(WIDTH, WIDTH), weight(WIDTH)) for _ in range(LAYERS)]
        self.up = [invariant.Linear(weight(4 * WIDTH, WIDTH), weight(4 * WIDTH)) for _ in range(LAYERS)]
        self.down = [invariant.Linear(weight(WIDTH, 4 * WIDTH), weight(WIDTH)) for _ in range(LAYERS)]
        self.head = invariant.Linear(3 * weight(CODES, WIDTH))
        self.stop = invariant.Linear(weight(16, WIDTH))
        self.cache = KVCache(LAYERS, slots, HEADS, context, WIDTH // HEADS, torch.float32, device)
        self.sampling = SamplingState(slots, CODES, device)
        self.last = torch.zeros(slots + 1, dtype=torch.int64, device=device)
        self.voice = torch.zeros(slots + 1, WIDTH, device=device)
        self.threads: set[int] = set()
        self.compiled = 0

    def compile(self) -> str:
        self.compiled += 1
        return "as it is"

    def prefill(self, slot: int, request: GptRequest) -> Prefill:
        self._note_thread()
        voice = torch.from_numpy(request.prompt.tensors["voice"]).to(self.voice.device)
        ids = torch.from_numpy(request.segment.token_ids).to(self.voice.device)
        x = F.embedding(ids, self.text) + self.places[: len(ids)] + voice
        for layer in range(LAYERS):
            q, k, v = self._heads(layer, x)
            self.cache.fill(layer, slot, k, v)
            yield
            mixed = F.scaled_dot_product_attention(*(t.transpose(0, 1) for t in (q, k, v)), is_causal=True)
            x = self._rest(layer, x, mixed.transpose(0, 1).reshape(len(ids), WIDTH))
        self.cache.set_length(slot, len(ids))
        self.sampling.set(slot, request.sampling)
        self.last[slot] = 0
        self.voice[slot] = voice
        return len(ids)

    def step(self, rows: Tensor, length: int) -> Output:
        self._note_thread()
        positions = self.cache.positions[rows]
        x = F.embedding(self.last[rows].clamp_min(0), self.codes) + self.places[positions] + self.voice[rows]
        for layer in range(LAYERS):
            q, k, v = self._heads(layer, x)
            self.cache.write(layer, rows, torch.stack((k, v), 1))
            x = self._rest(layer, x, self.cache.attend(layer, q, rows, length).reshape(len(rows), WIDTH))
        normal = F.layer_norm(x, (WIDTH,))
        codes = self.sampling.draw(self.head(normal), rows)
        self.last[rows] = codes
        self.cache.advance(rows)
        return Output(codes, self.stop(normal)[:, 0] > 1.5)

    def force(self, slot: int, code: np.ndarray) -> None:
        if not 0 <= int(code) < CODES:
            raise ValueError(f"no code {code}")
        self.last[slot] = int(code)
        self.sampling.force(slot, int(code))

    def wipe(self, slot: int) -> None:
        self.cache.wipe(slot)

    def _heads(self, layer: int, x: Tensor) -> list[Tensor]:
        return [
            t.reshape(-1, HEADS, WIDTH // HEADS)
            for t in self.qkv[layer](F.layer_norm(x, (WIDTH,))).chunk(3, -1)
        ]

    def _rest(self, layer: int, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + self.out[layer](mixed)
        return x + self.down[layer](F.gelu(self.up[layer](F.layer_norm(x, (WIDTH,)))))

    def _note_thread(self) -> None:
        self.threads.add(threading.get_ident())


def a_request(index: int, max_tokens: int = 90, **sampling: Any) -> GptRequest:
    """The same index gives the same text, voice and seed."""
    draw = np.random.default_rng(index)
    ids = draw.integers(0, TEXT, size=5 + index % 9)
    prompt = VoicePrompt.of("tiny", {"voice": 0.15 * draw.standard_normal(WIDTH, dtype=np.float32)})
    return GptRequest(
        Segment("", ids),
        prompt,
        Sampling(**({"seed": index, "max_tokens": max_tokens, "top_k": 20} | sampling)),
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
