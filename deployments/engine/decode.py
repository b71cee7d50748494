"""The decode loop: sequences join and leave a running batch at step boundaries."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deployments.engine.device import Device
from deployments.engine.device_thread import assert_on_device_thread
from deployments.engine.failures import as_failure
from deployments.engine.graphs import Backend, Function, GraphRunner
from deployments.engine.work import Event, WorkItem
from deployments.errors import SynthesisFailed
from deployments.families.base import GptModel, GptRequest, Run

log = logging.getLogger(__name__)
Output = dict[str, Tensor]  # the parts of a StepOutput that the model has
_LENGTH_STEP = 64
_SHORTEST_GRAPH = 256


Taken = tuple[np.ndarray, ...]  # of one step and row: its code, its frame, whether that is kept


@dataclass(slots=True, eq=False)
class Sequence:
    """A request in a slot. launched, read: steps enqueued and steps whose code has come back to the host."""

    id: str
    slot: int
    taken: int  # cache positions that the prefill filled
    limit: int  # codes, at most
    prefix: np.ndarray  # (P, *code_shape): what the listener already has
    emit_at: int  # read count that makes the next event
    launched: int = 0
    read: int = 0
    pending: list[Taken] = field(default_factory=list)
    gone: bool = False


@dataclass(slots=True)
class Launch:
    """A step on its way. output: on the host, complete once `ready` is; rows: (sequence, its code's index)."""

    rows: list[tuple[Sequence, int]]
    output: Output
    ready: torch.cuda.Event | None


class Decoder:
    """Continuous batching over a GptModel's static slots. A StageWorker for GptRequest payloads.

    Each step admits at most one newcomer (its prefill is all that the others wait for), then decodes one code of
    every running sequence. Batches are padded to a power of two with the scratch slot: a few shapes serve all.

    Events carry a `Run` each: the first after `first_emit` codes, the next after every
    `emit_every`, the last with done=True. A sequence that reaches its `max_tokens` or the end of the context is
    done, not failed.

    A request with a prefix (codes that its listener already has) is decoded again from its start, in step with
    the others: each code drawn is replaced by the prefix's (`model.force`) and not emitted. Every number in the
    slot's cache then comes from the same operations, in the same order, as in the undisturbed run, and what
    follows holds the same bits. A prefill of text and prefix at once would be quicker but sums in another order.

    On a GPU the host never waits for the step that it has just enqueued: codes and done flags travel to pinned
    memory and are read one step late (`read_late`), and the surplus code of a sequence that has ended is dropped.
    """

    def __init__(
        self,
        model: GptModel,
        device: Device,
        *,
        optimize: bool = True,
        first_emit: int = 26,
        emit_every: int = 16,
        backend: Backend | None = None,
        read_late: bool | None = None,
    ) -> None:
        self._owner = assert_on_device_thread()
        self._model = model
        self.slots = model.slots
        self._first_emit, self._emit_every = first_emit, emit_every
        self._runner = GraphRunner(device, "decode", optimize, backend)
        self._on_cuda = device.kind == "cuda"
        self._lag = int(self._on_cuda if read_late is None else read_late)
        self._batches = batch_buckets(model.slots)
        self._waiting: deque[WorkItem] = deque()
        self._running: dict[str, Sequence] = {}
        self._free = list(range(model.slots - 1, -1, -1))
        self._in_flight: deque[Launch] = deque()
        self._buffers: list[Output] = [{} for _ in range(self._lag + 1)]
        self._turn = 0
        self._steps = self._codes = self._row_steps = self._failed_steps = 0
        self.failing = 0

    # the StageWorker

    @property
    def active(self) -> int:
        return len(self._waiting) + len(self._running)

    def admit(self, item: WorkItem) -> None:
        """Raises RuntimeError when every slot is taken, or the id is at work already."""
        assert_on_device_thread(self._owner)
        if self.active >= self.slots:
            raise RuntimeError("no free slot")
        if item.id in self._running or any(waiting.id == item.id for waiting in self._waiting):
            raise RuntimeError(f"{item.id} is at work already")
        self._waiting.append(item)

    def cancel(self, item_id: str) -> None:
        assert_on_device_thread(self._owner)
        self._waiting = deque(item for item in self._waiting if item.id != item_id)
        if item_id in self._running:
            self._release(self._running[item_id])

    def step(self) -> list[Event]:
        assert_on_device_thread(self._owner)
        events = self._start(self._waiting.popleft()) if self._waiting else []
        try:
            launched = self._launch(events)
            while len(self._in_flight) > (self._lag if launched else 0):
                events += self._read(self._in_flight.popleft())
            self.failing = 0
        except Exception:
            log.exception("decode step failed")
            self._failed_steps += 1
            self.failing += 1
            events += self._fail_all()
        return events

    def warm_up(self) -> None:
        """Runs, or captures, every shape on the scratch slot: no request ever waits for it."""
        assert_on_device_thread(self._owner)
        lengths = self._lengths() if self._runner.optimize else [self._length(1)]
        for batch in reversed(self._batches):  # the largest first: the others fit in its memory
            rows = torch.full((batch,), self.slots, dtype=torch.int64)
            for length in reversed(lengths):
                self._runner.capture(*self._key_and_step(batch, length), {"rows": rows})

    def stats(self) -> dict[str, float]:
        return {
            "steps": self._steps,
            "codes": self._codes,
            "active": self.active,
            "mean_batch": self._row_steps / self._steps if self._steps else 0.0,
            "failed_steps": self._failed_steps,
        }

    def status(self) -> dict[str, Any]:
        return self._runner.status()

    # one step

    def _start(self, item: WorkItem) -> list[Event]:
        request: GptRequest = item.payload
        slot = self._free.pop()
        try:
            taken = self._model.prefill(slot, request)
        except Exception as error:
            self._free.append(slot)
            return [Event(item.id, error=as_failure(error, "the model could not begin this segment"))]
        prefix = request.prefix if request.prefix is not None else np.empty(0)
        limit = min(request.sampling.max_tokens, self._model.max_codes, self._model.context - taken)
        emit_at = len(prefix) + self._emit_every if len(prefix) else self._first_emit
        sequence = Sequence(item.id, slot, taken, limit, prefix, emit_at)
        self._running[item.id] = sequence
        if limit <= len(prefix):  # nothing is left to say
            self._release(sequence)
            return [Event(item.id, done=True, index=len(prefix))]
        return []

    def _launch(self, events: list[Event]) -> bool:
        sequences = [s for s in self._running.values() if s.launched < s.limit]
        if not sequences:
            return False
        batch = next(size for size in self._batches if size >= len(sequences))
        slots = [s.slot for s in sequences] + [self.slots] * (batch - len(sequences))
        length = self._length(max(s.taken + s.launched for s in sequences) + 1)
        rows = torch.tensor(slots, dtype=torch.int64)
        output = self._runner.call(*self._key_and_step(batch, length), {"rows": rows})
        self._in_flight.append(self._on_its_way([(s, s.launched) for s in sequences], output))
        for s in sequences:
            events += self._follow_prefix(s)
            s.launched += 1
        self._steps += 1
        self._row_steps += len(sequences)
        return True

    def _key_and_step(self, batch: int, length: int) -> tuple[tuple[int, int], Function]:
        def step(inputs: dict[str, Tensor]) -> Output:
            output = self._model.step(inputs["rows"], length)
            parts = {"codes": output.codes, "done": output.done, "frames": output.frames, "kept": output.kept}
            return {name: part for name, part in parts.items() if part is not None}

        return (batch, length), step

    def _follow_prefix(self, sequence: Sequence) -> list[Event]:
        if sequence.launched >= len(sequence.prefix):
            return []
        try:
            self._model.force(sequence.slot, sequence.prefix[sequence.launched])
        except Exception as error:
            self._release(sequence)
            return [
                Event(sequence.id, error=as_failure(error, "the model could not follow the codes so far"))
            ]
        return []

    def _on_its_way(self, rows: list[tuple[Sequence, int]], output: Output) -> Launch:
        if not self._lag:
            return Launch(rows, {name: part.cpu() for name, part in output.items()}, None)
        buffers = self._buffers[self._turn]
        self._turn = (self._turn + 1) % len(self._buffers)
        for name, part in output.items():
            if name not in buffers:
                shape = (self._batches[-1], *part.shape[1:])
                buffers[name] = torch.empty(shape, dtype=part.dtype, pin_memory=self._on_cuda)
            buffers[name][: len(part)].copy_(part, non_blocking=True)
        ready = torch.cuda.Event() if self._on_cuda else None
        if ready is not None:
            ready.record()
        return Launch(rows, buffers, ready)

    def _read(self, launch: Launch) -> list[Event]:
        if launch.ready is not None:
            launch.ready.synchronize()
        parts = [launch.output[name].numpy() for name in ("codes", "frames", "kept") if name in launch.output]
        done = launch.output["done"].tolist()
        events: list[Event] = []
        for row, (sequence, index) in enumerate(launch.rows):
            if not sequence.gone:
                events += self._take(sequence, index, tuple(part[row] for part in parts), done[row])
        return events

    def _take(self, sequence: Sequence, index: int, taken: Taken, last: bool) -> Iterable[Event]:
        if _is_lost(taken[0]) or (len(taken) > 1 and not np.isfinite(taken[1]).all()):
            self._release(sequence)
            return [Event(sequence.id, error=SynthesisFailed("the model lost its numbers in this segment"))]
        sequence.read = index + 1
        if index >= len(sequence.prefix):
            sequence.pending.append(tuple(part.copy() for part in taken))  # the buffers are used again
            self._codes += 1
        elif index < len(sequence.prefix) - 1:
            return []  # the listener has gone past this code: an end here is not an end
        if last or sequence.read >= sequence.limit:
            event = self._flush(sequence, done=True)
            self._release(sequence)
            return [event]
        if sequence.read >= sequence.emit_at:
            sequence.emit_at = sequence.read + self._emit_every
            return [self._flush(sequence, done=False)]
        return []

    def _flush(self, sequence: Sequence, done: bool) -> Event:
        steps, sequence.pending = sequence.pending, []
        value = Run(*(np.stack(part) for part in zip(*steps, strict=True))) if steps else None
        return Event(sequence.id, value, done=done, index=sequence.read - len(steps))

    def _release(self, sequence: Sequence) -> None:
        sequence.gone = True
        sequence.pending = []
        del self._running[sequence.id]
        self._free.append(sequence.slot)

    def _fail_all(self) -> list[Event]:
        self._in_flight.clear()
        failed = list(self._running.values())
        for sequence in failed:
            self._release(sequence)
        return [Event(s.id, error=SynthesisFailed("the device failed in this step")) for s in failed]

    # shapes

    def _length(self, needed: int) -> int:
        """Multiples of 64; doublings where each length is a graph of its own."""
        if self._runner.optimize:
            return next(length for length in self._lengths() if length >= needed)
        return min(self._model.context, -(-needed // _LENGTH_STEP) * _LENGTH_STEP)

    def _lengths(self) -> list[int]:
        context, lengths, length = self._model.context, [], _SHORTEST_GRAPH
        while length < context:
            lengths.append(length)
            length *= 2
        return [*lengths, context]


def _is_lost(code: np.ndarray) -> bool:
    """code: one step's, (*code_shape)"""
    return bool((code < 0).any()) if code.dtype.kind == "i" else not np.isfinite(code).all()


def batch_buckets(slots: int) -> list[int]:
    """1, 2, 4 … and `slots` itself."""
    sizes, size = [], 1
    while size < slots:
        sizes.append(size)
        size *= 2
    return [*sizes, slots]
