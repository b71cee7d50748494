"""The voice stage: reference audio to a voice prompt, cached by content."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from deployments import families
from deployments.engine.device_thread import DeviceThread, ModelReplica
from deployments.errors import ChoraleError
from deployments.families.base import VoiceEncoder as Encoder
from deployments.families.base import VoicePrompt


class VoiceEncoder(ModelReplica):
    """`cache_size`: prompts kept, the least recently used goes first; 0 keeps none."""

    def __init__(
        self, family: str, options: Mapping[str, Any], device: Mapping[str, Any], *, cache_size: int = 64
    ) -> None:
        def load() -> tuple[Encoder, dict[str, Any]]:
            from deployments.engine.device import choose_device

            chosen = choose_device(**device)
            return families.load(family, options).voice_encoder(chosen), chosen.describe()

        self._device = DeviceThread("voice", device.get("threads"))
        self._encoder, self._described = self._device.submit(load).result()
        self._cache = PromptCache(cache_size)

    async def encode(
        self, waveform: np.ndarray, rate: int, transcript: str | None = None
    ) -> VoicePrompt | ChoraleError:
        """waveform: float32 (N,) mono. A reference that cannot be used comes back as its error, as a value."""
        key = content_key(waveform, rate, transcript)
        prompt = self._cache.get(key)
        if prompt is None:
            try:
                prompt = await self._device.run(self._encoder.encode, waveform, rate, transcript)
            except ChoraleError as error:
                return error
            self._cache.put(key, prompt)
        return prompt

    async def status(self) -> dict[str, Any]:
        cache = self._cache
        return {
            "ready": True,
            "pid": os.getpid(),
            "device": self._described,
            "thread_id": self._device.thread_id,
            "cached": len(cache.prompts),
            "hits": cache.hits,
            "misses": cache.misses,
        }

    async def check_health(self) -> None:
        if not self._device.heartbeat().alive:
            raise RuntimeError("the device thread is dead")


class PromptCache:
    """The `size` most recently used prompts."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.prompts: OrderedDict[str, VoicePrompt] = OrderedDict()
        self.hits = self.misses = 0

    def get(self, key: str) -> VoicePrompt | None:
        prompt = self.prompts.get(key)
        if prompt is None:
            self.misses += 1
        else:
            self.hits += 1
            self.prompts.move_to_end(key)
        return prompt

    def put(self, key: str, prompt: VoicePrompt) -> None:
        self.prompts[key] = prompt
        self.prompts.move_to_end(key)
        while len(self.prompts) > self.size:
            self.prompts.popitem(last=False)


def content_key(waveform: np.ndarray, rate: int, transcript: str | None) -> str:
    digest = hashlib.sha256(f"{rate}\0{transcript is None}\0{transcript or ''}\0".encode())
    digest.update(np.ascontiguousarray(waveform, dtype=np.float32).tobytes())
    return digest.hexdigest()
