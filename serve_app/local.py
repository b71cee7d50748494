"""The whole pipeline in one process, without Ray: one device thread steps the GPT and the vocoder in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deployments import families
from deployments.contract.errors import Overloaded, SynthesisFailed
from deployments.contract.family import FamilySpec
from deployments.contract.speech import GptRequest, Run, Segment, VocodedChunk, VocoderChunk, VoicePrompt
from deployments.contract.work import StageWorker, WorkItem
from deployments.engine.device import memory
from deployments.engine.device.thread import DeviceThread
from deployments.engine.vocode.schedule import ChunkSchedule
from deployments.prompts import KeptPrompts, PromptStore, fingerprint
from serve_app.work_loop import Stage, WorkLoop

if TYPE_CHECKING:
    from deployments.contract.device import Device


class LocalBackend:
    """Implements `serve_app.lane.Backend`. Loading starts at once: `wait()` for its end.

    device: preference, half, threads, as `choose_device` takes them; max_queue: segments that may wait; chunks: as
    the synthesizer has them; gpt, vocoder: more arguments of `Decoder` and `VocodeWorker`; prompts: where voice
    prompts are kept on disk (root, most, most_bytes of `PromptStore`), None for memory alone, with `cache_size` of
    them. `optimize` of the vocoder, if `vocoder` does not say it, is that of the whole.

    Raises ConfigError for an unknown family or option; `wait()` does for what the memory cannot hold.
    """

    def __init__(
        self,
        family: str = "small",
        options: Mapping[str, Any] | None = None,
        *,
        sampling: Mapping[str, Any] | None = None,
        device: Mapping[str, Any] | None = None,
        optimize: bool = True,
        slots: int = 4,
        max_queue: int | None = None,
        chunks: ChunkSchedule | None = None,
        gpt: Mapping[str, Any] | None = None,
        vocoder: Mapping[str, Any] | None = None,
        prompts: Mapping[str, Any] | None = None,
        cache_size: int = 64,
    ) -> None:
        self.family = families.load(family, options)
        spec = self.family.spec
        self.spec: FamilySpec = replace(spec, sampling=replace(spec.sampling, **(sampling or {})))
        self._device_options = dict(device or {})
        self._options = dict(options or {})
        self._frontend = self.family.frontend()
        self._text = ThreadPoolExecutor(1, "text-frontend")
        self._thread = DeviceThread("local", threads=self._device_options.get("threads"))
        self._loop = WorkLoop(self._thread, 10 * slots if max_queue is None else max_queue)
        self._device: Device | None = None
        self._prompts: KeptPrompts | None = None
        self._loaded: Future[None] = self._thread.submit(
            self._load,
            max(slots, spec.window or 0),
            chunks or ChunkSchedule(),
            {"optimize": optimize, **(gpt or {})},
            {"optimize": optimize, **(vocoder or {})},
            prompts,
            cache_size,
        )

    def wait(self) -> LocalBackend:
        """Blocks until the weights are loaded. Raises what went wrong."""
        self._loaded.result()
        return self

    @property
    def workers(self) -> dict[str, StageWorker]:
        """By the name of their stage; none until the weights are loaded."""
        return {name: stage.worker for name, stage in self._loop.stages.items()}

    def close(self) -> None:
        self._text.shutdown(wait=False, cancel_futures=True)
        self._thread.close()

    def _load(
        self,
        slots: int,
        chunks: ChunkSchedule,
        gpt: Mapping[str, Any],
        vocoder: Mapping[str, Any],
        prompts: Mapping[str, Any] | None,
        cache_size: int,
    ) -> None:
        from deployments.engine.decode import Decoder
        from deployments.engine.device.choose import choose_device
        from deployments.engine.vocode.worker import VocodeWorker

        device = self._device = choose_device(**self._device_options)
        encoder = self.family.voice_encoder(device)
        store = None
        if prompts is not None:
            name = fingerprint(self.family, self._options, device)
            store = PromptStore(family=self.spec.name, fingerprint=name, **prompts)

        async def encode(*reference: Any) -> VoicePrompt:
            return await self._loop.call(lambda: encoder.encode(*reference))

        self._prompts = KeptPrompts(encode, cache_size, store)
        model = self.family.gpt(device, slots)
        decoder = Decoder(model, device, emit_at=chunks.run_ends(self.spec, model.max_codes), **gpt)
        vocode = VocodeWorker(self.family.vocoder(device), device, self.spec, **vocoder)
        memory.require("calls of the longest chunks", vocode.bytes, device.torch_device, "vocoder.max_batch")
        if device.kind == "cuda":
            if gpt["optimize"]:
                decoder.warm_up()
            if vocoder["optimize"]:
                vocode.warm_up(self.family.example_prompt())
        self._loop.stages = {"vocoder": Stage(vocode), "gpt": Stage(decoder)}

    async def segments(self, text: str, language: str | None) -> list[Segment]:
        running = asyncio.get_running_loop()
        return await running.run_in_executor(self._text, self._frontend.segments, text, language)

    async def check_text(self, text: str, language: str | None) -> None:
        running = asyncio.get_running_loop()
        await running.run_in_executor(self._text, self._frontend.check, text, language)

    async def encode_voice(self, waveform: np.ndarray, rate: int, transcript: str | None) -> VoicePrompt:
        await self._wait()
        assert self._prompts is not None
        return await self._prompts.of(waveform, rate, transcript)

    async def generate(
        self, request: GptRequest, *, id: str, priority: int, admitted: bool
    ) -> AsyncIterator[Run]:
        await self._wait()
        if not admitted and self._loop.newcomers("gpt") >= self._loop.max_queue:
            raise Overloaded("Too many requests are waiting: try again in a moment.", retry_after=1.0)
        async with aclosing(self._loop.events("gpt", WorkItem(id, request, priority))) as events:
            async for event in events:
                if event.value is not None and len(event.value):
                    yield event.value

    async def vocode(self, chunk: VocoderChunk, *, id: str, priority: int) -> VocodedChunk:
        await self._wait()
        async with aclosing(self._loop.events("vocoder", WorkItem(id, chunk, priority))) as events:
            async for event in events:
                if event.value is not None:
                    return event.value
        raise SynthesisFailed("The vocoder returned nothing.")

    async def cancel(self, id: str) -> None:
        self._loop.cancel(id)

    async def status(self) -> dict[str, Any]:
        ready = self._loaded.done() and self._loaded.exception() is None
        device: dict[str, Any] = {"name": "", "reason": "loading"}
        if self._device is not None:
            device = {**self._device.describe(), "reason": "; ".join(self._device.reasons)}
        return {
            "ready": ready,
            "device": device,
            "stages": self._loop.stats(),
            "memory": memory.usage(),
            "prompts": self._prompts.status() if self._prompts else {},
        }

    async def free(self) -> list[dict[str, Any]]:
        if self._prompts is not None:
            self._prompts.forget()
        return [{"stage": "local", **await self._loop.call(memory.free)}]

    async def _wait(self) -> None:
        if self._loaded.done():
            self._loaded.result()
        else:
            await asyncio.shield(asyncio.wrap_future(self._loaded))
