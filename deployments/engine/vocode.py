"""The vocoder's worker: chunks of many requests, padded to a few shapes and run together."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from deployments.engine.decode import batch_buckets
from deployments.engine.device import Device
from deployments.engine.device_thread import assert_on_device_thread
from deployments.engine.failures import as_failure
from deployments.engine.graphs import Backend, GraphRunner
from deployments.engine.work import Event, WorkItem
from deployments.errors import ChoraleError, SynthesisFailed
from deployments.families.base import FamilySpec, VocodedChunk, VocoderChunk, VocoderModel, VoicePrompt

GRAPH_FRAMES = (32, 64, 96, 128)  # of a chunk, without its context
_CPU_STEP = 8  # padding costs time there, and a shape that is new costs its primitives once


class VocodeWorker:
    """Dynamic batching over a VocoderModel. A StageWorker for VocoderChunk payloads: one done event a chunk.

    On an accelerator the oldest chunk goes first, with those of its own padded length, up to `max_batch` of them;
    one that cannot be padded goes alone.
    On the CPU a step is one chunk alone: its shape, and with it every bit of its sound, then depends on nothing
    but itself (in the small family a batch of 8 differs by 1e-4, and takes 10-25 % less time for 40-100 codes).
    A batch that fails is done again one by one, so that only the bad chunk fails.

    buckets: padded lengths in frames, context included; longer chunks run plainly. By default one for a segment's
    first chunk, which has context on the right only, and one for each of GRAPH_FRAMES.
    """

    def __init__(
        self,
        model: VocoderModel,
        device: Device,
        spec: FamilySpec,
        *,
        max_batch: int = 8,
        optimize: bool = True,
        buckets: Sequence[int] | None = None,
        backend: Backend | None = None,
    ) -> None:
        self._owner = assert_on_device_thread()
        self._model, self._spec = model, spec
        self.slots = max_batch
        self._alone = device.kind == "cpu" and backend is None
        both = spec.left_context + spec.right_context
        self._buckets = sorted(
            buckets or [spec.right_context + 16, *(both + frames for frames in GRAPH_FRAMES)]
        )
        self._batches = [1] if self._alone else batch_buckets(max_batch)
        self._runner = GraphRunner(device, "vocoder", optimize, backend)
        self._waiting: deque[WorkItem] = deque()
        self._steps = self._chunks = self._retries = 0
        self.failing = 0

    @property
    def active(self) -> int:
        return len(self._waiting)

    def admit(self, item: WorkItem) -> None:
        """Raises RuntimeError when every slot is taken."""
        assert_on_device_thread(self._owner)
        if self.active >= self.slots:
            raise RuntimeError("no free slot")
        self._waiting.append(item)

    def cancel(self, item_id: str) -> None:
        assert_on_device_thread(self._owner)
        self._waiting = deque(item for item in self._waiting if item.id != item_id)

    def step(self) -> list[Event]:
        assert_on_device_thread(self._owner)
        batch = self._next_batch()
        if not batch:
            return []
        self._steps += 1
        self._chunks += len(batch)
        return self._vocode(batch)

    def warm_up(self, prompt: VoicePrompt) -> None:
        """Runs, or captures, every shape on frames of 0: no request ever waits for it."""
        assert_on_device_thread(self._owner)
        for frames in reversed(self._buckets):
            right = min(self._spec.right_context, frames - 1)
            zeros = np.zeros((frames, *self._model.frame_shape), dtype=self._model.frame_dtype)
            chunk = VocoderChunk(zeros, 0, right, 0, prompt, seed=0)
            for batch in reversed(self._batches):
                inputs = self._model.collate([chunk] * batch, batch, frames)
                self._runner.capture((batch, frames), self._model.forward, inputs)

    def stats(self) -> dict[str, float]:
        return {
            "steps": self._steps,
            "chunks": self._chunks,
            "active": self.active,
            "mean_batch": self._chunks / self._steps if self._steps else 0.0,
            "retries": self._retries,
        }

    def status(self) -> dict[str, Any]:
        return self._runner.status()

    def _next_batch(self) -> list[WorkItem]:
        if not self._waiting:
            return []
        first: VocoderChunk = self._waiting[0].payload
        if not self._model.paddable(first):
            return [self._waiting.popleft()]
        length = self._length(first)
        batch: list[WorkItem] = []
        kept: deque[WorkItem] = deque()
        for item in self._waiting:
            fits = (
                len(batch) < self._batches[-1]
                and self._length(item.payload) == length
                and self._model.paddable(item.payload)
            )
            (batch if fits else kept).append(item)
        self._waiting = kept
        return batch

    def _vocode(self, items: list[WorkItem]) -> list[Event]:
        try:
            results = self._run([item.payload for item in items])
        except Exception as error:
            if len(items) == 1:
                self.failing += not isinstance(error, ChoraleError)
                failure = as_failure(error, "the vocoder could not turn this segment into sound")
                return [Event(items[0].id, error=failure)]
            self._retries += 1
            return [event for item in items for event in self._vocode([item])]
        self.failing = 0
        return [self._event(item, result) for item, result in zip(items, results, strict=True)]

    def _run(self, chunks: list[VocoderChunk]) -> list[VocodedChunk]:
        batch = next(size for size in self._batches if size >= len(chunks))
        frames = self._length(chunks[0])
        inputs = self._model.collate(chunks, batch, frames)
        # graphs are of padded rows: a chunk that cannot be padded may have another shape of the same length
        key = (batch, frames) if self._model.paddable(chunks[0]) else ("unpadded", frames)
        outputs = self._runner.call(key, self._model.forward, inputs)
        return self._model.split({name: value.cpu() for name, value in outputs.items()}, chunks)

    @staticmethod
    def _event(item: WorkItem, result: VocodedChunk) -> Event:
        chunk: VocoderChunk = item.payload
        if not np.isfinite(result.waveform).all():
            return Event(item.id, error=SynthesisFailed("the vocoder lost its numbers in this segment"))
        return Event(item.id, result, done=True, index=chunk.first + chunk.left)

    def _length(self, chunk: VocoderChunk) -> int:
        """The chunk's padded length in frames: a function of the chunk alone."""
        needed = len(chunk.frames)
        if not self._model.paddable(chunk):
            return needed
        if self._alone:
            return -(-needed // _CPU_STEP) * _CPU_STEP
        return next((bucket for bucket in self._buckets if bucket >= needed), -(-needed // 32) * 32)
