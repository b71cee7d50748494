"""The voice stage: reference audio to a voice prompt, encoded once and kept by its content."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deployments import families
from deployments.contract.errors import ChoraleError
from deployments.contract.family import VoiceEncoder as Encoder
from deployments.contract.speech import VoicePrompt
from deployments.engine.device import memory
from deployments.engine.device.thread import DeviceThread, ModelReplica
from deployments.prompts import KeptPrompts, PromptStore, fingerprint


class VoiceEncoder(ModelReplica):
    """Prompts come from memory, else from disk, else from the encoder.

    cache_size: prompts in memory, the least recently used goes first; 0 keeps none. prompts: a folder for those on
    disk, which replicas may share, with at most `disk_cache` of them and `disk_cache_bytes`; None for no disk.
    """

    def __init__(
        self,
        family: str,
        options: Mapping[str, Any],
        device: Mapping[str, Any],
        *,
        cache_size: int = 64,
        prompts: str | None = None,
        disk_cache: int = 10_000,
        disk_cache_bytes: int = 2**30,
    ) -> None:
        def load() -> tuple[Encoder, PromptStore | None, dict[str, Any]]:
            from deployments.engine.device.choose import choose_device

            chosen = choose_device(**device)
            loaded = families.load(family, options)
            encoder = loaded.voice_encoder(chosen)
            if prompts is None:
                return encoder, None, chosen.describe()
            name = fingerprint(loaded, options, chosen)
            root = Path(prompts).expanduser()
            return encoder, PromptStore(root, family, name, disk_cache, disk_cache_bytes), chosen.describe()

        self._device = DeviceThread("voice", device.get("threads"))
        encoder, store, self._described = self._device.submit(load).result()
        self._prompts = KeptPrompts(partial(self._device.run, encoder.encode), cache_size, store)

    async def encode(
        self, waveform: np.ndarray, rate: int, transcript: str | None = None
    ) -> VoicePrompt | ChoraleError:
        """waveform: float32 (N,) mono. A reference that cannot be used comes back as its error, as a value."""
        try:
            return await self._prompts.of(waveform, rate, transcript)
        except ChoraleError as error:
            return error

    async def status(self) -> dict[str, Any]:
        return {
            "ready": True,
            "pid": os.getpid(),
            "device": self._described,
            "thread_id": self._device.thread_id,
            "memory": await asyncio.to_thread(memory.usage),
            "prompts": self._prompts.status(),
        }

    async def free(self) -> dict[str, Any]:
        """Forgets the prompts in memory and gives back what is not used (see `memory.free`)."""
        self._prompts.forget()
        return await self._device.run(memory.free)

    async def check_health(self) -> None:
        if not self._device.heartbeat().alive:
            raise RuntimeError("the device thread is dead")
