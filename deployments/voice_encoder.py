"""The voice stage: reference audio to a voice prompt, encoded once and kept by its content."""

import asyncio
import logging
import os
from functools import partial
from typing import Any

from deployments import assembly, logs, placement
from deployments.contract.errors import ChoraleError
from deployments.contract.family import VoiceEncoder as Encoder
from deployments.contract.options import ModelOptions
from deployments.contract.speech import Reference, VoicePrompt
from deployments.contract.telemetry import PROMPTS
from deployments.engine.device import memory
from deployments.engine.device.thread import DeviceThread, ModelReplica
from deployments.metrics import ServeMetrics
from deployments.prompts import KeptPrompts, PromptStore

log = logging.getLogger(__name__)


class VoiceEncoder(ModelReplica):
    """Prompts come from memory, else from disk, else from the encoder."""

    def __init__(self, options: ModelOptions) -> None:
        def load() -> tuple[Encoder, PromptStore | None, dict[str, Any]]:
            family = assembly.load_family(options)
            device = placement.device(options, "voice_encoder", family.spec)
            encoder = family.voice_encoder(device)
            return encoder, assembly.prompt_store(options, family, device), device.describe()

        logs.join_serve()
        self._metrics = ServeMetrics(model=options.name)
        self._device = DeviceThread("voice", assembly.threads(options, "voice_encoder"))
        encoder, store, self._described = self._device.submit(load).result()
        encode = partial(self._device.run, encoder.encode)
        self._prompts = KeptPrompts(encode, options.voice_encoder.cache_size, store)

    async def encode(self, reference: Reference, keep: str | None = None) -> VoicePrompt | ChoraleError:
        """keep: the voice to keep it for on disk, or None. An unusable reference comes back as an error, as a value."""
        log.debug("prompt of voice %s", keep)
        try:
            return await self._prompts.of(reference, keep)
        except ChoraleError as error:
            return error
        finally:
            self._count()

    def _count(self) -> None:
        prompts = self._prompts
        sources = {"encoded": prompts.encoded, "memory": prompts.memory_hits, "disk": prompts.disk_hits}
        for source, total in sources.items():
            self._metrics.total(PROMPTS, total, source=source)

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
        self._prompts.clear()
        return await self._device.run(memory.free)

    async def forget(self, voice: str) -> None:
        """The prompts of a voice, in this replica's memory and on disk."""
        await self._prompts.forget(voice)

    async def check_health(self) -> None:
        if not self._device.heartbeat().alive:
            raise RuntimeError("the device thread is dead")
