"""The decode loop: sequences join and leave a running batch at step boundaries."""

import logging
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence as Ordered
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from deployments.contract.device import Device
from deployments.contract.errors import ChoraleError, SynthesisFailed
from deployments.contract.family import GptModel
from deployments.contract.work import Event, WorkItem
from deployments.engine.decode.roster import Roster
from deployments.engine.decode.sequence import Sequence, State, StepRow, groups, is_lost
from deployments.engine.decode.shapes import Shapes
from deployments.engine.device.thread import assert_on_device_thread
from deployments.engine.failures import as_failure
from deployments.engine.graphs import Backend, Function, GraphRunner
from deployments.engine.readback import HostCopy, Readback
from deployments.engine.script import Compilable

log = logging.getLogger(__name__)
PATIENCE = 8  # while first sounds are pending, background work joins one step in this many
Output = dict[str, Tensor]  # the parts of a StepOutput that the model has


@dataclass(frozen=True, slots=True)
class Launch:
    """A step in flight. rows: (sequence, its code's index) for the first rows of the copy's arrays."""

    rows: list[tuple[Sequence, int]]
    copy: HostCopy


class Decoder:
    """Continuous batching over a GptModel's static slots. A StageWorker for GptRequest payloads.

    A step runs one piece of a new sequence's prefill, then decodes one code of every running sequence. While nobody
    hears any of these, it runs a whole prefill instead. So requests that arrive together decode in one batch, and not
    the first ones in smaller batches, which take nearly as long. With graphs, batches are padded to one of
    `batch_buckets` with the scratch slot, and the attended positions to one of `length_buckets`, so that a few shapes
    serve all.

    While a listener waits for a first sound, background work is paused, but for every PATIENCE-th step. With at least
    `first_sound_first` active sequences (0: never), so are those that have sounded: the batch is smaller and its steps
    are faster.

    Each event carries a `Run`: one at each number of codes in `emit_at`, then one every `emit_every` codes, the last
    with done=True. A sequence that reaches its `max_tokens` or the end of the context is done, not failed.

    A request with a prefix (codes that its listener already has) is decoded from its start again: each code drawn is
    replaced by the prefix's (`model.force`) and not emitted. So the slot's cache comes from the same operations in the
    same order as in the undisturbed run, and the codes that follow are the same to the bit. A prefill of text and
    prefix together would be quicker, but sums in another order.

    If a step raises, its sequences start again in this way, and each is stepped alone from the code on that was being
    decoded. Only a sequence that fails alone is failed.

    On a GPU the host never waits for the step that it has just enqueued: codes and done flags are copied to pinned
    memory and read one step late (`read_late`). The surplus code of a sequence that has ended is dropped.
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
        self._compiled = ""
        if optimize and backend is None and isinstance(model, Compilable):
            self._compiled = model.compile()
        self.slots = model.slots
        self._emit_at, self._emit_every = list(emit_at), emit_every
        self._crowd = first_sound_first or math.inf  # sequences at work
        self._runner = GraphRunner(device, "decode", optimize, backend)
        on_cuda = device.kind == "cuda"
        self._readback = Readback(int(on_cuda if read_late is None else read_late), model.slots, on_cuda)
        self._shapes = Shapes(model.slots, model.context, batch_buckets, length_buckets)
        self._roster = Roster(model.slots)
        self._in_flight: deque[Launch] = deque()
        self._steps = self._codes = self._row_steps = self._failed_steps = 0
        self._calls = 0  # of step
        self.failing = 0

    @property
    def active(self) -> int:
        return len(self._roster)

    def admit(self, item: WorkItem) -> None:
        """Raises RuntimeError when every slot is taken, or the id is at work already."""
        assert_on_device_thread(self._owner)
        self._roster.admit(item)

    def cancel(self, item_id: str) -> None:
        assert_on_device_thread(self._owner)
        if (sequence := self._roster.get(item_id)) is not None:
            self._roster.end(sequence)

    def step(self) -> list[Event]:
        assert_on_device_thread(self._owner)
        self._calls += 1
        events = self._prefill()
        launched = self._steps
        if not self._newcomers_first():
            for group in groups(self._turn()):
                events += self._decode(group)
        if self._steps == launched:
            events += self._drain(0)
        return events

    def _turn(self) -> list[Sequence]:
        """The sequences that decode in this step."""
        running = self._roster.of(State.RUNNING)
        if not any(s.awaited for s in self._roster):
            return running
        background, sounding = bool(self._calls % PATIENCE), self.active >= self._crowd  # whether they pause
        paused = [(s.item.background and background) or (s.sounding and sounding) for s in running]
        return [s for s, pauses in zip(running, paused, strict=True) if s.alone or not pauses]

    def _newcomers_first(self) -> bool:
        """Whether sequences without a prefill go before those that decode."""
        newcomers = self._roster.of(State.PREFILL) or self._roster.of(State.WAITING)
        running = self._turn()
        if not newcomers or any(s.sounding and not s.item.background for s in running):
            return False
        return not (all(s.item.background for s in newcomers) and any(s.awaited for s in running))

    def warm_up(self, batches: Ordered[int] | None = None, lengths: Ordered[int] | None = None) -> None:
        """Runs or captures every shape, or the given ones, on the scratch slot, so that no request waits for that."""
        assert_on_device_thread(self._owner)
        padded = self._runner.optimize
        lengths = lengths or (self._shapes.lengths if padded else [self._shapes.length(1, padded)])
        # the largest first: its memory serves all
        for batch in sorted(batches or self._shapes.batches, reverse=True):
            rows = torch.full((batch,), self.slots, dtype=torch.int64)
            for length in sorted(lengths, reverse=True):
                self._runner.capture(*self._key_and_step(batch, length), {"rows": rows})

    def stats(self) -> dict[str, float]:
        return {
            "steps": self._steps,
            "codes": self._codes,
            "rows": self._row_steps,
            "replays": self._runner.replays,
            "running": len(self._roster.of(State.RUNNING)),
            "mean_batch": self._row_steps / self._steps if self._steps else 0.0,
            "failed_steps": self._failed_steps,
        }

    def status(self) -> dict[str, Any]:
        return {**self._runner.status(), "step": self._compiled or "eager"}

    def _prefill(self) -> list[Event]:
        """One piece of one sequence's prefill, or all pieces while no sequence decodes or newcomers go first."""
        sequence = self._next_to_prefill()
        while sequence is not None and sequence.prefill is not None:
            try:
                next(sequence.prefill)
            except StopIteration as end:
                return self._start(sequence, end.value)
            except Exception as error:
                self.failing += not isinstance(error, ChoraleError)
                return self._fail(sequence, error, "the model failed in the prefill of this segment")
            if self._turn() and not self._newcomers_first():
                break
        return []

    def _next_to_prefill(self) -> Sequence | None:
        """The one whose prefill has begun, else the one that waited longest, background work last; it gets a slot."""
        if under_way := self._roster.of(State.PREFILL):
            return under_way[0]
        if not (waiting := self._roster.of(State.WAITING)):
            return None
        sequence = min(waiting, key=lambda s: s.item.background)
        self._roster.give_slot(sequence)
        sequence.prefill = self._model.prefill(sequence.slot, sequence.request)
        return sequence

    def _start(self, sequence: Sequence, filled: int) -> list[Event]:
        known, asked = sequence.known, sequence.request.sampling.max_tokens
        if (most := sequence.request.segment.max_codes) is not None:
            asked = min(asked, most)
        sequence.state, sequence.prefill, sequence.prefill_length = State.RUNNING, None, filled
        sequence.limit = min(asked, self._model.max_codes, self._model.context - filled)
        sequence.emit_at = self._next_emit(known) if known else self._emit_at[0]
        if sequence.limit <= known:
            self._roster.end(sequence)
            return [Event(sequence.id, done=True, index=known)]
        return []

    def _decode(self, group: list[Sequence]) -> list[Event]:
        group = [s for s in group if not s.ended]
        try:
            events = self._launch(group)
        except Exception as error:
            events = self._drain(0)
            return events + self._suspect([s for s in group if not s.ended], error)
        return events + self._drain(0 if self._anyone_alone() else self._readback.late)

    def _drain(self, late: int) -> list[Event]:
        """Reads the results of all steps but the last `late` ones."""
        events: list[Event] = []
        while len(self._in_flight) > late:
            launch = self._in_flight.popleft()
            try:
                events += self._read(launch)
                self.failing = 0
            except Exception as error:
                events += self._suspect([s for s, _ in launch.rows if not s.ended], error)
        return events

    def _launch(self, group: list[Sequence]) -> list[Event]:
        padded = self._runner.optimize
        batch = self._shapes.batch(len(group), padded)
        length = self._shapes.length(max(s.next_position for s in group) + 1, padded)
        slots = [s.slot for s in group] + [self.slots] * (batch - len(group))
        rows = torch.tensor(slots, dtype=torch.int64)
        output = self._runner.call(*self._key_and_step(batch, length), {"rows": rows})
        copy = self._readback.send(output, at_once=self._anyone_alone())
        self._in_flight.append(Launch([(s, s.launched) for s in group], copy))
        events = [event for s in group if s.following for event in self._follow(s)]
        for s in group:
            s.launched += 1
        self._steps += 1
        self._row_steps += len(group)
        return events

    def _key_and_step(self, batch: int, length: int) -> tuple[tuple[int, int], Function]:
        def step(inputs: dict[str, Tensor]) -> Output:
            output = self._model.step(inputs["rows"], length)._asdict()
            return {name: part for name, part in output.items() if part is not None}

        return (batch, length), step

    def _follow(self, sequence: Sequence) -> list[Event]:
        assert sequence.request.prefix is not None
        try:
            self._model.force(sequence.slot, sequence.request.prefix[sequence.launched])
        except Exception as error:
            return self._fail(sequence, error, "the model could not resume this segment from its prefix")
        return []

    def _read(self, launch: Launch) -> list[Event]:
        output = launch.copy.open()
        done = output.pop("done").tolist()
        events: list[Event] = []
        for row, (sequence, index) in enumerate(launch.rows):
            if not sequence.ended:
                events += self._take(
                    sequence, index, {name: part[row] for name, part in output.items()}, done[row]
                )
        return events

    def _take(self, sequence: Sequence, index: int, step_row: StepRow, last: bool) -> list[Event]:
        if is_lost(step_row):
            return self._fail(sequence, SynthesisFailed("the model produced NaN or Inf in this segment"))
        sequence.take(index, step_row)
        self._codes += index >= sequence.known
        if index < sequence.known - 1:
            return []  # the listener already has more codes: this is not the end
        if last or sequence.read >= sequence.limit:
            event = sequence.flush(done=True, cut=not last)
            self._roster.end(sequence)
            return [event]
        if index >= sequence.known and sequence.read >= sequence.emit_at:
            sequence.emit_at = self._next_emit(sequence.read)
            return [sequence.flush(done=False)]
        return []

    def _next_emit(self, read: int) -> int:
        further = bisect_right(self._emit_at, read)
        every = read + self._emit_every
        return min(every, self._emit_at[further]) if further < len(self._emit_at) else every

    def _suspect(self, group: list[Sequence], error: Exception) -> list[Event]:
        """Handles a step of `group` that raised: a sequence alone fails, several start again to be stepped alone."""
        self._failed_steps += 1
        self.failing += 1
        if len(group) == 1:
            return self._fail(group[0], error, "the device failed in this segment")
        log.error("a step of %d sequences failed; each is stepped alone now", len(group), exc_info=error)
        for s in group:
            self._wipe(s.slot)
            rest = replace(s.item, payload=replace(s.request, prefix=s.sent()))
            self._roster.begin_again(s, rest, min(s.alone_from, s.read))
        return []

    def _fail(self, sequence: Sequence, error: Exception, message: str = "") -> list[Event]:
        """Ends the sequence, and clears its slot: NaN there would reach the next one."""
        self._roster.end(sequence)
        self._wipe(sequence.slot)
        return [Event(sequence.id, error=as_failure(error, message))]

    def _wipe(self, slot: int) -> None:
        try:
            self._model.wipe(slot)
        except Exception:  # the device may be dead; the next step will show it
            log.exception("slot %d could not be wiped", slot)

    def _anyone_alone(self) -> bool:
        return any(s.alone for s in self._roster.of(State.RUNNING))
