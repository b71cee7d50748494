"""The whole pipeline in one process, without Ray: one device thread steps the GPT and the vocoder in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, NamedTuple, TypeVar

from deployments import assembly
from deployments.contract import speech
from deployments.contract.controls import Value
from deployments.contract.device import Device
from deployments.contract.errors import SynthesisFailed
from deployments.contract.family import FamilySpec, Frontend, read_segments
from deployments.contract.options import ModelOptions
from deployments.contract.work import StageWorker, WorkItem
from deployments.engine.device import card, memory
from deployments.engine.device.thread import DeviceThread
from deployments.leases.in_process import InProcessScheduler
from deployments.prompts import KeptPrompts

QUEUED_PER_SLOT = 10
R = TypeVar("R")


class Loaded(NamedTuple):
    """scheduler: of the GPT and the vocoder."""

    device: Device
    prompts: KeptPrompts
    scheduler: InProcessScheduler


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
        self._loading = self._thread.submit(self._load, max(least_slots, self.spec.window or 1))

    def wait(self) -> LocalBackend:
        """Blocks until the weights are loaded. Raises the error if loading failed."""
        self._loading.result()
        return self

    @property
    def _loaded(self) -> Loaded | None:
        """None until the weights are loaded."""
        finished = self._loading.done() and self._loading.exception() is None
        return self._loading.result() if finished else None

    @property
    def workers(self) -> dict[str, StageWorker]:
        """The workers by stage name; empty until the weights are loaded."""
        return self._loaded.scheduler.workers if self._loaded else {}

    @property
    def scheduler(self) -> InProcessScheduler:
        """Available once the weights are loaded."""
        return self._loading.result().scheduler

    def close(self) -> None:
        """Cancels all work."""
        self._text.shutdown(wait=False, cancel_futures=True)
        self._thread.close()
        if self._loaded:
            self._loaded.scheduler.close()

    def _load(self, least_slots: int) -> Loaded:
        options, family = self.options, self.family
        device = assembly.device(options, "gpt", self.spec)
        if self.spec.frontend_device:
            self._frontend = family.frontend(device)
        encoder = family.voice_encoder(device)

        async def encode(reference: speech.Reference) -> speech.VoicePrompt:
            return await self._thread.run(encoder.encode, reference)

        store = assembly.prompt_store(options, family, device)
        prompts = KeptPrompts(encode, options.voice_encoder.cache_size, store)
        decoder = assembly.decoder(options, family, device, least_slots)
        vocoder = assembly.vocoder(options, family, device)
        if device.kind != "cpu":
            decoder.warm_up()
            vocoder.warm_up(family.example_prompt())
        workers = {"vocoder": vocoder, "gpt": decoder}  # by priority
        share = options.gpt.first_segment_share
        return Loaded(device, prompts, InProcessScheduler(self._thread, workers, share, QUEUED_PER_SLOT))

    async def segments(
        self, text: str, language: str | None, controls: Mapping[str, Value] | None = None
    ) -> list[speech.Segment]:
        return await self._read(lambda frontend: read_segments(frontend, text, language, controls))

    async def symbols(self, segments: list[speech.Segment]) -> list[list[str]]:
        return await self._read(lambda frontend: [frontend.symbols(segment) for segment in segments])

    async def check_text(self, text: str, language: str | None) -> None:
        await self._read(lambda frontend: frontend.check(text, language))

    async def _read(self, call: Callable[[Frontend], R]) -> R:
        """Calls the frontend on the text thread, or on the device's if it runs a model."""
        if self.spec.frontend_device:
            await self._ready()
            return await self._thread.run(call, self._frontend)
        return await asyncio.get_running_loop().run_in_executor(self._text, call, self._frontend)

    async def encode_voice(self, reference: speech.Reference, keep: str | None = None) -> speech.VoicePrompt:
        return await (await self._ready()).prompts.of(reference, keep)

    async def forget(self, voice: str) -> None:
        if self._loaded:
            await self._loaded.prompts.forget(voice)

    async def generate(
        self, request: speech.GptRequest, *, id: str, priority: int, admitted: bool
    ) -> AsyncIterator[speech.Run]:
        scheduler = (await self._ready()).scheduler
        async with aclosing(scheduler.events("gpt", WorkItem(id, request, priority), admitted)) as events:
            async for event in events:
                if event.value is not None and len(event.value):
                    yield event.value

    async def vocode(self, chunk: speech.VocoderChunk, *, id: str, priority: int) -> speech.VocodedChunk:
        scheduler, item = (await self._ready()).scheduler, WorkItem(id, chunk, priority, chunk.home)
        async with aclosing(scheduler.events("vocoder", item, admitted=True)) as events:
            async for event in events:
                if event.value is not None:
                    return event.value
        raise SynthesisFailed("The vocoder returned nothing.")

    async def cancel(self, id: str) -> None:
        if self._loaded:
            self._loaded.scheduler.cancel(id)

    async def status(self) -> dict[str, Any]:
        if self._loaded is None:
            return {"ready": False, "device": {"name": "", "reason": "loading"}, "stages": {}}
        device, prompts, scheduler = self._loaded
        about = {**device.describe(), "reason": "; ".join(device.reasons)}
        ready = {"ready": True, "device": about, "stages": scheduler.status()}
        used = {"memory": memory.usage(), "load": card.load(device.torch_device)}
        return {**ready, **used, "prompts": prompts.status()}

    async def free(self) -> list[dict[str, Any]]:
        if self._loaded:
            self._loaded.prompts.clear()
        return [{"stage": "local", **await self._thread.run(memory.free)}]

    async def _ready(self) -> Loaded:
        if not self._loading.done():
            await asyncio.shield(asyncio.wrap_future(self._loading))
        return self._loading.result()
