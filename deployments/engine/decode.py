"""The decode loop: sequences join and leave a running batch at step boundaries."""

from __future__ import annotations

import heapq
import logging
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence as Ordered
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from deployments.engine.device import Device
from deployments.engine.device_thread import assert_on_device_thread
from deployments.engine.failures import as_failure
from deployments.engine.graphs import Backend, Function, GraphRunner, doublings, powers_of_two
from deployments.engine.readback import Parcel, Readback
from deployments.engine.sequence import Sequence, Taken, groups, is_lost
from deployments.engine.work import Event, WorkItem
from deployments.errors import ChoraleError, ConfigError, SynthesisFailed
from deployments.families.base import GptModel, GptRequest, Prefill

log = logging.getLogger(__name__)
Output = dict[str, Tensor]  # the parts of a StepOutput that the model has
_LENGTH_STEP = 64
_SHORTEST_GRAPH = 256
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Waiting:
    """An item without a slot. alone_from: see Sequence."""

    item: WorkItem
    alone_from: int = _NEVER

    @property
    def awaited(self) -> bool:
        return self.item.priority == 0 and self.item.payload.prefix is None


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An item whose prefill is under way in a slot."""

    waiting: Waiting
    slot: int
    prefill: Prefill


@dataclass(frozen=True, slots=True)
class Launch:
    """A step on its way. rows: (sequence, its code's index) for the first rows of the parcel's arrays."""

    rows: list[tuple[Sequence, int]]
    parcel: Parcel


class Decoder:
    """Continuous batching over a GptModel's static slots. A StageWorker for GptRequest payloads.

    A step does one piece of a newcomer's prefill (that is all that the others wait for; with no others, the whole
    of it), then decodes one code of every running sequence. With graphs, batches are padded to one of
    `batch_buckets` with the scratch slot, and what is attended to is bounded by one of `length_buckets`: a few
    shapes serve all.

    With `first_sound_first` or more at work (0: never), those who have sounded stand aside while a listener waits for a
    first sound: the batch is smaller and its steps are faster.

    Events carry a `Run` each: the first after as many codes as `emit_at` begins with, the others at the further
    numbers of codes in it and after every `emit_every`, the last with done=True. A sequence that reaches its
    `max_tokens` or the end of the context is done, not failed.

    A request with a prefix (codes that its listener already has) is decoded again from its start, in step with
    the others: each code drawn is replaced by the prefix's (`model.force`) and not emitted. Every number in the
    slot's cache then comes from the same operations, in the same order, as in the undisturbed run, and what
    follows holds the same bits. A prefill of text and prefix at once would be quicker but sums in another order.

    A step that raises fails nobody yet: those who shared it begin again in the same way, and from the code on
    that was being decoded each goes alone; only whoever fails then is failed.

    On a GPU the host never waits for the step that it has just enqueued: codes and done flags travel to pinned
    memory and are read one step late (`read_late`), and the surplus code of a sequence that has ended is dropped.
    """

    def __init__(
        self,
        model: GptModel,
        device: Device,
        *,
        optimize: bool = True,
        emit_at: Ordered[int] = (26,),
        emit_every: int = 16,
        first_sound_first: int = 0,
        batch_buckets: Ordered[int] | None = None,
        length_buckets: Ordered[int] | None = None,
        backend: Backend | None = None,
        read_late: bool | None = None,
    ) -> None:
        self._owner = assert_on_device_thread()
        self._model = model
        self._compiled = model.compile() if optimize and backend is None else ""
        self.slots = model.slots
        self._emit_at, self._emit_every = list(emit_at), emit_every
        self._crowd = first_sound_first or math.inf  # sequences at work
        self._runner = GraphRunner(device, "decode", optimize, backend)
        on_cuda = device.kind == "cuda"
        self._readback = Readback(int(on_cuda if read_late is None else read_late), model.slots, on_cuda)
        self._batches = sorted(batch_buckets or powers_of_two(model.slots))
        self._lengths = sorted(length_buckets or doublings(_SHORTEST_GRAPH, model.context))
        if self._batches[-1] != model.slots or self._lengths[-1] != model.context:
            raise ConfigError(
                f"gpt: batch_buckets must end at {model.slots}, the slots, and length_buckets at {model.context},"
                " the positions of a slot of this family",
                param="gpt.length_buckets",
            )
        self._waiting: deque[Waiting] = deque()
        self._newcomer: Newcomer | None = None
        self._running: dict[str, Sequence] = {}
        self._free = list(range(model.slots))  # a heap: neighbours are cheaper than scattered slots
        self._in_flight: deque[Launch] = deque()
        self._steps = self._codes = self._row_steps = self._failed_steps = 0
        self.failing = 0

    # the StageWorker

    @property
    def active(self) -> int:
        return len(self._waiting) + len(self._running) + (self._newcomer is not None)

    def admit(self, item: WorkItem) -> None:
        """Raises RuntimeError when every slot is taken, or the id is at work already."""
        assert_on_device_thread(self._owner)
        if self.active >= self.slots:
            raise RuntimeError("no free slot")
        if self._is_known(item.id):
            raise RuntimeError(f"{item.id} is at work already")
        self._waiting.append(Waiting(item))

    def cancel(self, item_id: str) -> None:
        assert_on_device_thread(self._owner)
        self._waiting = deque(waiting for waiting in self._waiting if waiting.item.id != item_id)
        if self._newcomer is not None and self._newcomer.waiting.item.id == item_id:
            self._turn_away(self._newcomer)
        if item_id in self._running:
            self._release(self._running[item_id])

    def step(self) -> list[Event]:
        assert_on_device_thread(self._owner)
        events = self._prefill()
        launched = self._steps
        for group in groups(self._turn()):
            events += self._decode(group)
        if self._steps == launched:
            events += self._drain(0)
        return events

    def _turn(self) -> list[Sequence]:
        """Who decodes in this step."""
        running = list(self._running.values())
        if self.active < self._crowd or not self._anyone_awaited():
            return running
        return [s for s in running if s.alone or not s.sounding]

    def _anyone_awaited(self) -> bool:
        coming = [self._newcomer.waiting] if self._newcomer is not None else []
        return any(s.awaited for s in self._running.values()) or any(
            waiting.awaited for waiting in (*coming, *self._waiting)
        )

    def warm_up(self, batches: Ordered[int] | None = None, lengths: Ordered[int] | None = None) -> None:
        """Runs, or captures, every shape on the scratch slot: no request ever waits for it. Or only the given ones."""
        assert_on_device_thread(self._owner)
        lengths = lengths or (self._lengths if self._runner.optimize else [self._length(1)])
        for batch in sorted(
            batches or self._batches, reverse=True
        ):  # the others fit in the largest one's memory
            rows = torch.full((batch,), self.slots, dtype=torch.int64)
            for length in sorted(lengths, reverse=True):
                self._runner.capture(*self._key_and_step(batch, length), {"rows": rows})

    def stats(self) -> dict[str, float]:
        return {
            "steps": self._steps,
            "codes": self._codes,
            "active": self.active,
            "running": len(self._running),
            "mean_batch": self._row_steps / self._steps if self._steps else 0.0,
            "failed_steps": self._failed_steps,
        }

    def status(self) -> dict[str, Any]:
        return {**self._runner.status(), "step": self._compiled or "eager"}

    # newcomers

    def _prefill(self) -> list[Event]:
        """A piece of one newcomer's; while nobody is to decode, to its end."""
        if self._newcomer is None and self._waiting:
            waiting, slot = self._waiting.popleft(), heapq.heappop(self._free)
            self._newcomer = Newcomer(waiting, slot, self._model.prefill(slot, waiting.item.payload))
        newcomer = self._newcomer
        while newcomer is not None:
            try:
                next(newcomer.prefill)
            except StopIteration as end:
                self._newcomer = None
                return self._start(newcomer, end.value)
            except Exception as error:
                self.failing += not isinstance(error, ChoraleError)
                self._turn_away(newcomer)
                self._wipe(newcomer.slot)
                failure = as_failure(error, "the model could not begin this segment")
                return [Event(newcomer.waiting.item.id, error=failure)]
            if self._turn():
                break
        return []

    def _turn_away(self, newcomer: Newcomer) -> None:
        newcomer.prefill.close()
        self._newcomer = None
        heapq.heappush(self._free, newcomer.slot)

    def _start(self, newcomer: Newcomer, taken: int) -> list[Event]:
        request: GptRequest = newcomer.waiting.item.payload
        limit = min(request.sampling.max_tokens, self._model.max_codes, self._model.context - taken)
        known = 0 if request.prefix is None else len(request.prefix)
        emit_at = self._next_emit(known) if known else self._emit_at[0]
        sequence = Sequence(
            newcomer.waiting.item,
            newcomer.slot,
            taken,
            limit,
            emit_at,
            newcomer.waiting.alone_from,
            sounding=known > 0,
            awaited=newcomer.waiting.awaited,
        )
        self._running[sequence.id] = sequence
        if limit <= known:  # nothing is left to say
            self._release(sequence)
            return [Event(sequence.id, done=True, index=known)]
        return []

    # one step

    def _decode(self, group: list[Sequence]) -> list[Event]:
        group = [s for s in group if not s.gone]
        try:
            events = self._launch(group)
        except Exception as error:
            events = self._drain(0)
            return events + self._suspect([s for s in group if not s.gone], error)
        return events + self._drain(0 if self._anyone_alone() else self._readback.late)

    def _drain(self, late: int) -> list[Event]:
        """Reads what has come back, but for the last `late` steps."""
        events: list[Event] = []
        while len(self._in_flight) > late:
            launch = self._in_flight.popleft()
            try:
                events += self._read(launch)
                self.failing = 0
            except Exception as error:
                events += self._suspect([s for s, _ in launch.rows if not s.gone], error)
        return events

    def _launch(self, group: list[Sequence]) -> list[Event]:
        slots, batch = [s.slot for s in group], len(group)
        if self._runner.optimize:
            batch = next(size for size in self._batches if size >= len(group))
            slots += [self.slots] * (batch - len(group))
        length = self._length(max(s.taken + s.launched for s in group) + 1)
        rows = torch.tensor(slots, dtype=torch.int64)
        output = self._runner.call(*self._key_and_step(batch, length), {"rows": rows})
        parcel = self._readback.send(output, at_once=self._anyone_alone())
        self._in_flight.append(Launch([(s, s.launched) for s in group], parcel))
        events = []
        for s in group:
            if s.following:
                events += self._follow(s)
            s.launched += 1
        self._steps += 1
        self._row_steps += len(group)
        return events

    def _key_and_step(self, batch: int, length: int) -> tuple[tuple[int, int], Function]:
        def step(inputs: dict[str, Tensor]) -> Output:
            output = self._model.step(inputs["rows"], length)
            parts = {"codes": output.codes, "done": output.done, "frames": output.frames, "kept": output.kept}
            return {name: part for name, part in parts.items() if part is not None}

        return (batch, length), step

    def _follow(self, sequence: Sequence) -> list[Event]:
        assert sequence.request.prefix is not None
        try:
            self._model.force(sequence.slot, sequence.request.prefix[sequence.launched])
        except Exception as error:
            self._release(sequence)
            failure = as_failure(error, "the model could not follow the codes so far")
            return [Event(sequence.id, error=failure)]
        return []

    def _read(self, launch: Launch) -> list[Event]:
        output = launch.parcel.open()
        parts = [output[name] for name in ("codes", "frames", "kept") if name in output]
        done = output["done"].tolist()
        events: list[Event] = []
        for row, (sequence, index) in enumerate(launch.rows):
            if not sequence.gone:
                events += self._take(sequence, index, tuple(part[row] for part in parts), done[row])
        return events

    def _take(self, sequence: Sequence, index: int, taken: Taken, last: bool) -> list[Event]:
        if is_lost(taken):
            self._release(sequence)
            self._wipe(sequence.slot)
            return [Event(sequence.id, error=SynthesisFailed("the model lost its numbers in this segment"))]
        sequence.take(index, taken)
        self._codes += index >= sequence.known
        if index < sequence.known - 1:
            return []  # the listener has gone past this code: an end here is not an end
        if last or sequence.read >= sequence.limit:
            event = sequence.flush(done=True, cut=not last)
            self._release(sequence)
            return [event]
        if index >= sequence.known and sequence.read >= sequence.emit_at:
            sequence.emit_at = self._next_emit(sequence.read)
            return [sequence.flush(done=False)]
        return []

    def _next_emit(self, read: int) -> int:
        further = bisect_right(self._emit_at, read)
        every = read + self._emit_every
        return min(every, self._emit_at[further]) if further < len(self._emit_at) else every

    def _release(self, sequence: Sequence) -> None:
        sequence.gone = True
        del self._running[sequence.id]
        heapq.heappush(self._free, sequence.slot)

    # faults

    def _suspect(self, group: list[Sequence], error: Exception) -> list[Event]:
        """A step of `group` raised: one alone has failed, several begin again and go alone where it happened."""
        self._failed_steps += 1
        self.failing += 1
        for s in group:
            self._release(s)
            self._wipe(s.slot)
        if len(group) == 1:
            return [Event(group[0].id, error=as_failure(error, "the device failed in this segment"))]
        log.error("a step of %d sequences failed: each goes alone from there", len(group), exc_info=error)
        for s in reversed(group):
            resumed = replace(s.item, payload=replace(s.request, prefix=s.told()))
            self._waiting.appendleft(Waiting(resumed, min(s.alone_from, s.read)))
        return []

    def _wipe(self, slot: int) -> None:
        try:
            self._model.wipe(slot)
        except Exception:  # a device that answers no more: its next steps will tell
            log.exception("slot %d was not wiped", slot)

    def _anyone_alone(self) -> bool:
        return any(s.alone for s in self._running.values())

    def _is_known(self, item_id: str) -> bool:
        return (
            item_id in self._running
            or (self._newcomer is not None and self._newcomer.waiting.item.id == item_id)
            or any(waiting.item.id == item_id for waiting in self._waiting)
        )

    # shapes

    def _length(self, needed: int) -> int:
        """A bucket where each length is a graph of its own, else a multiple of 64."""
        if self._runner.optimize:
            return next(length for length in self._lengths if length >= needed)
        return min(self._model.context, -(-needed // _LENGTH_STEP) * _LENGTH_STEP)


def prefill_at_once(model: GptModel, slot: int, request: GptRequest) -> int:
    """The whole prefill; returns how many positions are taken. Raises what the model does."""
    pieces = model.prefill(slot, request)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value
