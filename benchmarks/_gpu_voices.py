"""Many voices at once in one process: no capture after start, reproducible samples, constant memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Thread
from typing import Any, TypeVar

import numpy as np

from benchmarks import _gpu_family
from deployments.contract.family import FamilySpec
from deployments.contract.options import (
    ChunkOptions,
    DeviceOptions,
    FamilyOptions,
    GptOptions,
    ModelOptions,
    VocoderOptions,
)
from deployments.contract.speech import GptRequest, VocoderChunk, VoicePrompt
from deployments.engine.device import memory
from serve_app.backends.local import LocalBackend

R = TypeVar("R")
SLACK = 2**24  # bytes; a smaller difference counts as constant memory
ALONE = 3  # syntheses that are also done twice alone
WAIT_S = 60.0  # for a reference
NOT_CAPTURED = "was not captured at start"
BY_DESIGN = "('unpadded'"  # a short segment with both ends in one chunk is not padded to a bucket


class Warnings(logging.Handler):
    """Collects the warnings of the graphs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class Loop:
    """An event loop on its own thread, which owns the cached prompts."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT_S)
        self.loop.close()


class Voices:
    """A backend without the text frontend, whose packages may be missing."""

    def __init__(
        self, family: str, folder: str | None, device: str, slots: int, references: int, most_chunks: int = 8
    ) -> None:
        """most_chunks: of a vocoder batch."""
        self.options = ModelOptions(
            family=FamilyOptions(name=family, options=_gpu_family.options_of(family, folder)),
            device=DeviceOptions.model_validate({"preference": device}),
            gpt=GptOptions(slots=slots),
            vocoder=VocoderOptions(max_batch=min(slots, most_chunks)),
            chunks=ChunkOptions(first=1 if family == "voxcpm" else 10),  # as its configuration has it
        )
        self.family = _gpu_family.load(family, folder)
        with _gpu_family.without_frontends(self.family):
            self.backend = LocalBackend(self.options).wait()
        self.references = references
        self.owner = Loop()

    def close(self) -> None:
        self.owner.close()
        self.backend.close()

    def prompt(self, index: int) -> VoicePrompt:
        return self.owner.run(self.backend.encode_voice(_gpu_family.reference(self.family, index)))

    def speak(self, number: int, tokens: int, most: int, name: str) -> np.ndarray:
        """Returns (N,) float32. The same number gives the same voice, text and seed. Callable from any thread."""
        prompt = self.prompt(number % self.references)
        request = _gpu_family.request(self.family, number, prompt, tokens, max_tokens=most)
        return asyncio.run(self._sound(request, name))

    async def _sound(self, request: GptRequest, name: str) -> np.ndarray:
        runs = self.backend.generate(request, id=name, priority=0, admitted=True)
        frames = np.concatenate([run.spoken async for run in runs])
        waveforms, state = [], None
        for index, chunk in enumerate(_halves(frames, self.family.spec, request)):
            said = await self.backend.vocode(replace(chunk, state=state), id=f"{name}.{index}", priority=0)
            waveforms.append(said.waveform)
            state = said.state
        return np.concatenate(waveforms)

    def captured(self) -> dict[str, list[str]]:
        workers: dict[str, Any] = self.backend.workers
        return {name: worker.status()["captured"] for name, worker in workers.items()}


def voices(
    family: str,
    folder: str | None,
    device: str,
    references: int,
    syntheses: int,
    callers: int,
    tokens: int,
    most: int,
    slots: int,
) -> dict[str, Any]:
    """Half of the syntheses, then the same in another order, by `callers` concurrent threads."""
    usage = {"start": memory.usage()}
    warnings = Warnings()
    logging.getLogger("deployments.engine.graphs").addHandler(warnings)
    began = time.perf_counter()
    speaking = Voices(family, folder, device, slots, references)
    try:
        usage["warm"] = memory.usage()
        load_s, captured, half = time.perf_counter() - began, speaking.captured(), syntheses // 2

        def all_of(numbers: list[int], turn: str) -> dict[int, np.ndarray]:
            with ThreadPoolExecutor(callers) as pool:
                sounds = pool.map(lambda n: speaking.speak(n, tokens, most, f"{turn}.{n}"), numbers)
                return dict(zip(numbers, sounds, strict=True))

        began = time.perf_counter()
        first = all_of(list(range(half)), "first")
        usage["half"] = memory.usage()
        again = all_of(list(reversed(range(half))), "again")
        taken = time.perf_counter() - began
        usage["end"] = memory.usage()
        alone = [
            [speaking.speak(number, tokens, most, f"alone.{turn}.{number}") for turn in range(2)]
            for number in range(min(ALONE, half))
        ]
        captured_at_end = speaking.captured()
        status = speaking.owner.run(speaking.backend.status())
    finally:
        speaking.close()
    samples = sum(len(sound) for sound in [*first.values(), *again.values()])
    speech_s = samples / speaking.family.spec.sample_rate
    uncaptured = [message for message in warnings.messages if NOT_CAPTURED in message]
    others = [message for message in warnings.messages if NOT_CAPTURED not in message]
    return {
        "device": status["device"],
        "load_s": round(load_s, 2),
        "syntheses_s": round(taken, 2),
        "speech_s": round(speech_s, 1),
        "rtf": round(taken / speech_s, 5),
        "references_encoded": status["prompts"]["encoded"],
        "captured": {name: len(keys) for name, keys in captured.items()},
        "same_samples": {
            "alone": _same(alone),
            "in another batch": _same([[first[number], again[number]] for number in first]),
        },
        "unpadded": [message for message in uncaptured if BY_DESIGN in message],
        "warnings": [message for message in uncaptured if BY_DESIGN not in message] + others,
        "memory": usage,
        "checks": {
            "every reference was encoded": status["prompts"]["encoded"] >= references,
            "graphs where there is CUDA": status["device"]["kind"] != "cuda" or all(captured.values()),
            "nothing was captured after the start": captured == captured_at_end,
            "no warning of the graphs": all(BY_DESIGN in message for message in warnings.messages),
            "every sound is finite and not silent": all(map(_sounds, [*first.values(), *again.values()])),
            "a seed alone gives the same samples": all(np.array_equal(a, b) for a, b in alone),
            "memory is flat": is_flat(usage),
        },
    }


def is_flat(usage: dict[str, dict[str, int]]) -> bool:
    """True if a card's memory did not grow after the first half, which uses every voice. Always True on a CPU."""
    keys = ("device_allocated_bytes", "device_reserved_bytes")
    return all(usage["end"].get(key, 0) - usage["half"].get(key, 0) <= SLACK for key in keys)


def _halves(frames: np.ndarray, spec: FamilySpec, request: GptRequest) -> list[VocoderChunk]:
    """Two chunks as in a stream: the first with the context after it, the second with the context before it."""
    middle = len(frames) // 2
    whole = VocoderChunk(
        frames,
        0,
        0,
        0,
        request.prompt,
        request.sampling.seed,
        conditions=request.segment.conditions,
        controls=request.sampling.controls,
    )
    if not middle:
        return [whole]
    left, right = min(spec.left_context, middle), min(spec.right_context, len(frames) - middle)
    return [
        replace(whole, frames=frames[: middle + right], right=right),
        replace(whole, frames=frames[middle - left :], left=left, first=middle - left),
    ]


def _sounds(waveform: np.ndarray) -> bool:
    return bool(len(waveform) and np.isfinite(waveform).all() and np.abs(waveform).max() > 0)


def _same(pairs: list[list[np.ndarray]]) -> str:
    return f"{sum(np.array_equal(a, b) for a, b in pairs)} of {len(pairs)}"
