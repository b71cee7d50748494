"""The whole pipeline in one process, without Ray: one device thread steps the GPT and the vocoder in turn."""

from __future__ import annotations

import asyncio
import heapq
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deployments import families
from deployments.engine.device_thread import DeviceThread
from deployments.engine.work import Event, StageWorker, WorkItem
from deployments.errors import Overloaded, SynthesisFailed
from deployments.families.base import (
    FamilySpec,
    GptRequest,
    Run,
    Segment,
    VocodedChunk,
    VocoderChunk,
    VoiceEncoder,
    VoicePrompt,
)

if TYPE_CHECKING:
    from deployments.engine.device import Device


log = logging.getLogger("chorale.local")


class LocalBackend:
    """Implements `serve_app.synthesis.Backend`. Loading starts at once: `wait()` for its end.

    device: preference, half, threads, as `choose_device` takes them; max_queue: segments that may wait.
    Raises ConfigError for an unknown family or option.
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
    ) -> None:
        self.family = families.load(family, options)
        spec = self.family.spec
        self.spec: FamilySpec = replace(spec, sampling=replace(spec.sampling, **(sampling or {})))
        self._device_options = dict(device or {})
        self._frontend = self.family.frontend()
        self._text = ThreadPoolExecutor(1, "text-frontend")
        self._thread = DeviceThread("local", threads=self._device_options.get("threads"))
        self._loop = _WorkLoop(self._thread, 10 * slots if max_queue is None else max_queue)
        self._device: Device | None = None
        self._encoder: VoiceEncoder | None = None
        slots = max(slots, spec.window or 0)
        self._loaded: Future[None] = self._thread.submit(self._load, slots, optimize)

    def wait(self) -> LocalBackend:
        """Blocks until the weights are loaded. Raises what went wrong."""
        self._loaded.result()
        return self

    def close(self) -> None:
        self._text.shutdown(wait=False, cancel_futures=True)
        self._thread.close()

    def _load(self, slots: int, optimize: bool) -> None:
        from deployments.engine.chunks import first_run
        from deployments.engine.decode import Decoder
        from deployments.engine.device import choose_device
        from deployments.engine.vocode import VocodeWorker

        device = self._device = choose_device(**self._device_options)
        self._encoder = self.family.voice_encoder(device)
        gpt = self.family.gpt(device, slots)
        decoder = Decoder(gpt, device, optimize=optimize, first_emit=first_run(self.spec))
        vocoder = VocodeWorker(self.family.vocoder(device), device, self.spec, optimize=optimize)
        if device.kind == "cuda" and optimize:
            decoder.warm_up()
            vocoder.warm_up(self.family.example_prompt())
        self._loop.stages = {"vocoder": _Stage(vocoder), "gpt": _Stage(decoder)}

    async def segments(self, text: str, language: str | None) -> list[Segment]:
        running = asyncio.get_running_loop()
        return await running.run_in_executor(self._text, self._frontend.segments, text, language)

    async def encode_voice(self, waveform: np.ndarray, rate: int, transcript: str | None) -> VoicePrompt:
        def encode() -> VoicePrompt:
            assert self._encoder is not None
            return self._encoder.encode(waveform, rate, transcript)

        await self._wait()
        return await self._loop.call(encode)

    async def generate(
        self, request: GptRequest, *, id: str, priority: int, admitted: bool
    ) -> AsyncIterator[Run]:
        await self._wait()
        if not admitted and self._loop.waiting("gpt") >= self._loop.max_queue:
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
        return {"ready": ready, "device": device, "stages": self._loop.stats()}

    async def _wait(self) -> None:
        if self._loaded.done():
            self._loaded.result()
        else:
            await asyncio.shield(asyncio.wrap_future(self._loaded))


@dataclass(slots=True)
class _Stage:
    """A worker and what waits for one of its slots: a heap of (priority, order, item)."""

    worker: StageWorker
    heap: list[tuple[int, int, WorkItem]] = field(default_factory=list)

    def admit(self) -> None:
        while self.heap and self.worker.active < self.worker.slots:
            self.worker.admit(heapq.heappop(self.heap)[2])

    def cancel(self, item_id: str) -> None:
        kept = [entry for entry in self.heap if entry[2].id != item_id]
        if len(kept) < len(self.heap):
            self.heap = kept
            heapq.heapify(self.heap)
        self.worker.cancel(item_id)


class _WorkLoop:
    """Steps the stages on the device thread for as long as there is work; idle, nothing runs.

    Commands come in through an inbox that is read between steps, events go out to the loop that waits.
    """

    def __init__(self, thread: DeviceThread, max_queue: int) -> None:
        self.stages: dict[str, _Stage] = {}  # the vocoder first: sound goes before codes
        self.max_queue = max_queue
        self._thread = thread
        self._lock = threading.Lock()
        self._inbox: list[Callable[[], None]] = []
        self._turning = False
        self._listeners: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Queue[Event]]] = {}
        self._order = 0

    def waiting(self, stage: str) -> int:
        return len(self.stages[stage].heap)

    def stats(self) -> dict[str, Any]:
        return {
            name: {
                "ready": True,
                "slots": stage.worker.slots,
                "active": stage.worker.active,
                "pending": len(stage.heap),
            }
            for name, stage in self.stages.items()
        }

    async def events(self, stage: str, item: WorkItem) -> AsyncGenerator[Event, None]:
        """Until the one that is done. Left early, the item is cancelled; an event's error is raised."""
        listener: asyncio.Queue[Event] = asyncio.Queue()
        self._listeners[item.id] = (asyncio.get_running_loop(), listener)
        self._post(lambda: self._submit(stage, item))
        finished = False
        try:
            while not finished:
                event = await listener.get()
                finished = event.done or event.error is not None
                if event.error is not None:
                    raise event.error
                yield event
        finally:
            self._listeners.pop(item.id, None)
            if not finished:
                self.cancel(item.id)

    async def call(self, function: Callable[[], Any]) -> Any:
        """Runs `function` on the device thread, between steps."""
        future: Future[Any] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:
                    future.set_exception(error)

        self._post(run)
        return await asyncio.wrap_future(future)

    def cancel(self, item_id: str) -> None:
        def run() -> None:
            for stage in self.stages.values():
                stage.cancel(item_id)
            self._deliver(Event(item_id, error=SynthesisFailed("The work was cancelled.", code="cancelled")))

        self._post(run)

    def _post(self, command: Callable[[], None]) -> None:
        with self._lock:
            self._inbox.append(command)
            if self._turning:
                return
            self._turning = True
        self._thread.submit(self._turn_until_idle)

    # on the device thread

    def _submit(self, stage: str, item: WorkItem) -> None:
        self._order += 1
        heapq.heappush(self.stages[stage].heap, (item.priority, self._order, item))

    def _turn_until_idle(self) -> None:
        try:
            self._turn()
        except Exception:  # a worker broke its promise: whoever waits must not wait for ever
            log.exception("the work loop failed")
            with self._lock:
                self._turning = False
            for item_id in list(self._listeners):
                self._deliver(Event(item_id, error=SynthesisFailed("The work loop failed.")))

    def _turn(self) -> None:
        while True:
            with self._lock:
                commands, self._inbox = self._inbox, []
                if not commands and not any(s.heap or s.worker.active for s in self.stages.values()):
                    self._turning = False
                    return
            for command in commands:
                command()
            for stage in self.stages.values():
                stage.admit()
                if stage.worker.active:
                    for event in stage.worker.step():
                        self._deliver(event)

    def _deliver(self, event: Event) -> None:
        if (listener := self._listeners.get(event.id)) is not None:
            loop, queue = listener
            try:
                loop.call_soon_threadsafe(queue.put_nowait, event)
            except RuntimeError:  # that loop is closed: nobody waits any more
                self._listeners.pop(event.id, None)
