"""The whole pipeline in one process, without Ray: one device thread steps the GPT and the vocoder in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

from deployments import assembly
from deployments.contract.errors import SynthesisFailed
from deployments.contract.family import FamilySpec, Frontend
from deployments.contract.options import ModelOptions
from deployments.contract.speech import (
    GptRequest,
    Reference,
    Run,
    Segment,
    VocodedChunk,
    VocoderChunk,
    VoicePrompt,
)
from deployments.contract.work import StageWorker, WorkItem
from deployments.engine.device import memory
from deployments.engine.device.thread import DeviceThread
from deployments.leases.in_process import InProcessScheduler
from deployments.prompts import KeptPrompts

if TYPE_CHECKING:
    from deployments.contract.device import Device

QUEUED_PER_SLOT = 10
R = TypeVar("R")


class LocalBackend:
    """The stages in this process. Implements `Backend`. Loading starts in the background.

    least_slots: a lower bound for `gpt.slots`.
    Raises ConfigError for an unknown family or option. `wait()` raises it if the model does not fit into memory.
    """

    def __init__(self, options: ModelOptions | None = None, *, least_slots: int = 1) -> None:
        self.options = options = options or ModelOptions()
        self.family = assembly.load_family(options)
        self.spec: FamilySpec = self.family.spec
        if not self.spec.frontend_device:
            self._frontend: Frontend = self.family.frontend(None)
        self._text = ThreadPoolExecutor(1, "text-frontend")
        self._thread = DeviceThread("local", threads=assembly.threads(options, "gpt"))
        self._scheduler: InProcessScheduler | None = (
            None  # like the next two, None until the weights are loaded
        )
        self._device: Device | None = None
        self._prompts: KeptPrompts | None = None
        self._loaded: Future[None] = self._thread.submit(self._load, max(least_slots, self.spec.window or 1))

    def wait(self) -> LocalBackend:
        """Blocks until the weights are loaded. Raises the error if loading failed."""
        self._loaded.result()
        return self

    @property
    def workers(self) -> dict[str, StageWorker]:
        """The workers by stage name; empty until the weights are loaded."""
        return self._scheduler.workers if self._scheduler else {}

    @property
    def scheduler(self) -> InProcessScheduler:
        """Schedules the GPT and the vocoder. Available once the weights are loaded."""
        assert self._scheduler is not None
        return self._scheduler

    def close(self) -> None:
        """Cancels all work."""
        self._text.shutdown(wait=False, cancel_futures=True)
        self._thread.close()
        if self._scheduler is not None:
            self._scheduler.close()

    def _load(self, least_slots: int) -> None:
        options, family = self.options, self.family
        device = self._device = assembly.device(options, "gpt")
        if self.spec.frontend_device:
            self._frontend = family.frontend(device)
        encoder = family.voice_encoder(device)

        async def encode(reference: Reference) -> VoicePrompt:
            return await self._thread.run(encoder.encode, reference)

        store = assembly.prompt_store(options, family, device)
        self._prompts = KeptPrompts(encode, options.voice_encoder.cache_size, store)
        decoder = assembly.decoder(options, family, device, least_slots)
        vocoder = assembly.vocoder(options, family, device)
        if device.kind != "cpu":
            decoder.warm_up()
            vocoder.warm_up(family.example_prompt())
        workers = {"vocoder": vocoder, "gpt": decoder}  # by priority
        share = options.gpt.first_segment_share
        self._scheduler = InProcessScheduler(self._thread, workers, share, QUEUED_PER_SLOT)

    async def segments(self, text: str, language: str | None) -> list[Segment]:
        return await self._read(lambda frontend: frontend.segments(text, language))

    async def check_text(self, text: str, language: str | None) -> None:
        await self._read(lambda frontend: frontend.check(text, language))

    async def _read(self, call: Callable[[Frontend], R]) -> R:
        """Calls the frontend on the text thread, or on the device's if it runs a model."""
        if self.spec.frontend_device:
            await self._wait()
            return await self._thread.run(call, self._frontend)
        return await asyncio.get_running_loop().run_in_executor(self._text, call, self._frontend)

    async def encode_voice(self, reference: Reference, keep: str | None = None) -> VoicePrompt:
        await self._wait()
        assert self._prompts is not None
        return await self._prompts.of(reference, keep)

    async def forget(self, voice: str) -> None:
        if self._prompts is not None:
            await self._prompts.forget(voice)

    async def generate(
        self, request: GptRequest, *, id: str, priority: int, admitted: bool
    ) -> AsyncIterator[Run]:
        await self._wait()
        item = WorkItem(id, request, priority)
        async with aclosing(self.scheduler.events("gpt", item, admitted)) as events:
            async for event in events:
                if event.value is not None and len(event.value):
                    yield event.value

    async def vocode(self, chunk: VocoderChunk, *, id: str, priority: int) -> VocodedChunk:
        await self._wait()
        item = WorkItem(id, chunk, priority, chunk.home)
        async with aclosing(self.scheduler.events("vocoder", item, admitted=True)) as events:
            async for event in events:
                if event.value is not None:
                    return event.value
        raise SynthesisFailed("The vocoder returned nothing.")

    async def cancel(self, id: str) -> None:
        if self._scheduler is not None:
            self._scheduler.cancel(id)

    async def status(self) -> dict[str, Any]:
        device: dict[str, Any] = {"name": "", "reason": "loading"}
        if self._device is not None:
            device = {**self._device.describe(), "reason": "; ".join(self._device.reasons)}
        return {
            "ready": self._loaded.done() and self._loaded.exception() is None,
            "device": device,
            "stages": self._scheduler.status() if self._scheduler else {},
            "memory": memory.usage(),
            "prompts": self._prompts.status() if self._prompts else {},
        }

    async def free(self) -> list[dict[str, Any]]:
        if self._prompts is not None:
            self._prompts.clear()
        return [{"stage": "local", **await self._thread.run(memory.free)}]

    async def _wait(self) -> None:
        if self._loaded.done():
            self._loaded.result()
        else:
            await asyncio.shield(asyncio.wrap_future(self._loaded))
