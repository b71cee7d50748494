"""The vocoder's worker: chunks of many requests, and several of one long request, run together."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from cachetools import LRUCache
from torch import Tensor

from deployments.contract.device import Device
from deployments.contract.errors import ChoraleError, StateLost, SynthesisFailed
from deployments.contract.family import FamilySpec, VocoderModel
from deployments.contract.speech import VocodedChunk, VocoderChunk, VoicePrompt
from deployments.contract.work import Event, WorkItem
from deployments.engine.device.thread import assert_on_device_thread
from deployments.engine.failures import as_failure
from deployments.engine.graphs import Backend, GraphRunner, powers_of_two
from deployments.engine.vocode.chunks import cut

log = logging.getLogger(__name__)

FRAME_BUCKETS = (16, 32, 64, 96, 128)
LONGEST_S = 5.0  # of sound in a chunk
STATES_PER_SLOT = 16  # segments whose state is kept here, for each item at once
MOST_FAULTS = 3  # in a row, of the optimised path alone, until it is given up

Result = VocodedChunk | ChoraleError


@dataclass(slots=True, eq=False)
class Course:
    """An item on its way. left: its chunks that are still to do; made, state: what those before have left."""

    item: WorkItem
    left: deque[VocoderChunk]
    made: list[np.ndarray] = field(default_factory=list)
    state: Mapping[str, np.ndarray] = field(default_factory=dict)
    over: bool = False

    def take(self, result: Result) -> Event | None:
        """The item's event, if `result` is its last or an error."""
        if isinstance(result, VocodedChunk) and not np.isfinite(result.waveform).all():
            result = SynthesisFailed("the vocoder produced NaN or Inf in this segment")
        if isinstance(result, ChoraleError):
            self.over = True
            return Event(self.item.id, error=result)
        self.left.popleft()
        self.made.append(result.waveform)
        self.state = result.state
        if self.left:
            self.left[0] = replace(self.left[0], state=result.state)
            return None
        self.over = True
        whole = self.made[0] if len(self.made) == 1 else np.concatenate(self.made)
        chunk: VocoderChunk = self.item.payload
        return Event(self.item.id, VocodedChunk(whole, self.state), done=True, index=chunk.first + chunk.left)


@dataclass(frozen=True, slots=True)
class Row:
    """A chunk in a batch. follows: the earlier row that it continues."""

    course: Course
    chunk: VocoderChunk
    follows: int | None


class VocodeWorker:
    """Dynamic batching over a VocoderModel. A StageWorker for VocoderChunk payloads: one done event each.

    A payload may be of any length: it is cut into chunks of at most `chunk_frames` (5 s by default), which overlap by
    the spec's context, unless the family's segments are vocoded whole. A batch takes the next chunk of the first in
    line, then those of the others that fit, then further chunks of each; whoever was served goes to the end of the
    line, so that a short item waits for no long one.
    Where a listener waits for a first sound (priority 0), a batch holds nothing else, but for every second one. How
    many chunks fit together:

    - if the model packs rows of any lengths (`Packing.frames`): up to that many frames;
    - on an accelerator: up to `max_batch` of one padded length. A CUDA graph for each of `batch_buckets` and of
      `frame_buckets` serves them: frames without context, the smallest also with context on the right only, as a
      segment's first chunk has it. No chunk is longer than the largest bucket;
    - on any other CPU path, and if a chunk cannot be padded: it goes alone.

    A batch that raises is done again on the plain path, the model's `forward` chunk by chunk, so that only the bad item
    fails. Where it was the optimised path's fault MOST_FAULTS times in a row, that is given up. optimize: false is the
    plain path from the start: each payload whole, alone, eagerly.
    """

    def __init__(
        self,
        model: VocoderModel,
        device: Device,
        spec: FamilySpec,
        *,
        max_batch: int = 8,
        optimize: bool = True,
        chunk_frames: int | None = None,
        frame_buckets: Sequence[int] | None = None,
        batch_buckets: Sequence[int] | None = None,
        backend: Backend | None = None,
    ) -> None:
        self._owner = assert_on_device_thread()
        self._model, self._device, self._spec = model, device.torch_device, spec
        self._packing, self._forward = model.packing, model.packing.forward or model.forward
        self.slots = max_batch
        self._padded = device.kind != "cpu" or backend is not None
        buckets = sorted(frame_buckets or FRAME_BUCKETS)
        self._longest = chunk_frames or round(LONGEST_S * spec.codes_per_second)
        self._whole = spec.chunking == "whole"
        if self._padded and not self._whole:
            self._longest = min(self._longest, buckets[-1])
        both = spec.left_context + spec.right_context
        self._lengths = sorted({spec.right_context + buckets[0], *(both + frames for frames in buckets)})
        self._batches = sorted(batch_buckets or powers_of_two(max_batch))
        self._runner = GraphRunner(device, "vocoder", optimize, backend)
        self._plain = "" if optimize else self._runner.reason
        self._waiting: deque[Course] = deque()
        self._lost: list[Event] = []  # of items whose state is not here
        # segment -> index of the next frame, and the state there; a segment that is evicted is decoded from its start
        self._states: LRUCache[str, tuple[int, Mapping[str, np.ndarray]]] = LRUCache(
            STATES_PER_SLOT * max_batch
        )
        self._first_only = False  # what the last batch was
        self._steps = self._chunks = self._retries = self._faults = 0
        self.failing = 0

    @property
    def active(self) -> int:
        return len(self._waiting) + len(self._lost)

    @property
    def bytes(self) -> int:
        """About how much the largest batch allocates; graphs of smaller ones share its memory."""
        longest = self._spec.left_context + self._longest + self._spec.right_context
        if self._padded and not self._plain:
            batch = self._model.activation_bytes(self._batches[-1], self._lengths[-1])
            return max(batch, self._model.activation_bytes(1, longest))
        return self._model.activation_bytes(1, max(longest, self._packing.frames))

    def admit(self, item: WorkItem) -> None:
        """Raises RuntimeError when every slot is taken."""
        assert_on_device_thread(self._owner)
        if self.active >= self.slots:
            raise RuntimeError("no free slot")
        chunk: VocoderChunk = item.payload
        if chunk.home is not None and (begin := chunk.first + chunk.left) > 0:
            at, state = self._states.pop(chunk.home, (0, {}))
            if at != begin:
                self._lost.append(Event(item.id, error=StateLost("the state of this segment is not here")))
                return
            chunk = replace(chunk, state=state)
        chunks = [chunk] if self._plain or self._whole else cut(chunk, self._spec, self._longest)
        self._waiting.append(Course(item, deque(chunks)))

    def cancel(self, item_id: str) -> None:
        assert_on_device_thread(self._owner)
        self._waiting = deque(course for course in self._waiting if course.item.id != item_id)
        self._lost = [event for event in self._lost if event.id != item_id]

    def step(self) -> list[Event]:
        assert_on_device_thread(self._owner)
        lost, self._lost = self._lost, []
        rows = self._next_batch()
        if not rows:
            return lost
        began = time.perf_counter()
        results = self._vocode(rows)
        if not self._steps:
            lengths = [len(row.chunk.frames) for row in rows]
            log.info("vocoder: first batch, of %s frames, in %.3f s", lengths, time.perf_counter() - began)
        self._steps += 1
        self._chunks += len(rows)
        pairs = zip(rows, results, strict=True)
        taken = [(row, row.course.take(result)) for row, result in pairs if not row.course.over]
        self._waiting = deque(course for course in self._waiting if not course.over)
        return lost + [self._kept(row.course, event) for row, event in taken if event is not None]

    def _kept(self, course: Course, event: Event) -> Event:
        """The event without the state that stays here, if the item's does."""
        chunk: VocoderChunk = course.item.payload
        if chunk.home is None or event.value is None:
            return event
        self._states[chunk.home] = (chunk.first + len(chunk.frames) - chunk.right, course.state)
        return replace(event, value=VocodedChunk(event.value.waveform, {}))

    def warm_up(self, prompt: VoicePrompt) -> None:
        """Runs, or captures, every shape on frames of 0: no request ever waits for it."""
        assert_on_device_thread(self._owner)
        if self._plain:
            self._alone(self._blank(self._lengths[0], prompt))
        elif not self._padded:
            for frames in (self._lengths[0], self._longest):
                self._together([self._blank(frames, prompt)])
        else:
            for frames in reversed(self._lengths):
                for batch in reversed(self._batches):
                    inputs = self._model.collate([self._blank(frames, prompt)] * batch, batch, frames)
                    self._runner.capture((batch, frames), self._forward, inputs)

    def stats(self) -> dict[str, float]:
        return {
            "steps": self._steps,
            "chunks": self._chunks,
            "active": self.active,
            "mean_batch": self._chunks / self._steps if self._steps else 0.0,
            "retries": self._retries,
        }

    def status(self) -> dict[str, Any]:
        said = self._runner.status()
        return {**said, "optimize": False, "reason": self._plain} if self._plain else said

    # batches

    def _next_batch(self) -> list[Row]:
        rows: list[Row] = []
        last: dict[Course, int] = {}  # of those served, the last row
        taken: Counter[Course] = Counter()
        first = [course for course in self._waiting if course.item.priority == 0]
        self._first_only = bool(first) and not self._first_only
        line = first if self._first_only else list(self._waiting)
        growing = bool(line)
        while growing:
            growing = False
            for course in line:
                if taken[course] < len(course.left) and self._fits(rows, course.left[taken[course]]):
                    rows.append(Row(course, course.left[taken[course]], last.get(course)))
                    last[course] = len(rows) - 1
                    taken[course] += 1
                    growing = True
        self._waiting = deque(sorted(self._waiting, key=lambda course: course in last))
        return rows

    def _fits(self, rows: list[Row], chunk: VocoderChunk) -> bool:
        if not rows:
            return True
        if self._plain or len(rows) >= self._batches[-1]:
            return False
        first = rows[0].chunk
        if most := self._packing.frames:
            return sum(len(row.chunk.frames) for row in rows) + len(chunk.frames) <= most
        alike = self._length(first) == self._length(chunk)
        return self._padded and alike and self._packing.paddable(first) and self._packing.paddable(chunk)

    def _length(self, chunk: VocoderChunk) -> int:
        """The chunk's padded length in frames: a function of the chunk alone."""
        needed = len(chunk.frames)
        if not self._padded or not self._packing.paddable(chunk):
            return needed
        return next((length for length in self._lengths if length >= needed), needed)

    # the two paths

    def _vocode(self, rows: list[Row]) -> Sequence[Result]:
        if self._plain:
            return self._apart(rows)
        try:
            results = self._together([replace(row.chunk, follows=row.follows) for row in rows])
        except Exception as error:
            self._retries += 1
            why = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            log.warning(
                "vocoder: a batch of %d failed (%s); its chunks run again one by one, without a graph",
                len(rows),
                why,
            )
            again = self._apart(rows)
            self._blame(why, again)
            return again
        self._faults = self.failing = 0
        return results

    def _together(self, chunks: list[VocoderChunk]) -> list[VocodedChunk]:
        batch = next(size for size in self._batches if size >= len(chunks)) if self._padded else len(chunks)
        frames = max(self._length(chunk) for chunk in chunks)
        inputs = self._model.collate(chunks, batch, frames)
        # graphs are of padded rows: a chunk that cannot be padded may have another shape of the same length
        key = (batch, frames) if self._packing.paddable(chunks[0]) else ("unpadded", frames)
        outputs = self._runner.call(key, self._forward, inputs)
        return self._model.split(_to_host(outputs), chunks)

    def _apart(self, rows: list[Row]) -> list[Result]:
        results: list[Result] = []
        for row in rows:
            before = None if row.follows is None else results[row.follows]
            if isinstance(before, ChoraleError):
                results.append(before)
                continue
            try:
                results.append(
                    self._alone(row.chunk if before is None else replace(row.chunk, state=before.state))
                )
                self.failing = 0
            except Exception as error:
                self.failing += not isinstance(error, ChoraleError)
                results.append(as_failure(error, "the vocoder failed in this segment"))
        return results

    def _alone(self, chunk: VocoderChunk) -> VocodedChunk:
        inputs = self._model.collate([chunk], 1, len(chunk.frames))
        outputs = self._model.forward({name: value.to(self._device) for name, value in inputs.items()})
        return self._model.split(_to_host(outputs), [chunk])[0]

    def _blame(self, why: str, again: list[Result]) -> None:
        self._faults = 0 if any(isinstance(result, ChoraleError) for result in again) else self._faults + 1
        if self._faults == MOST_FAULTS:
            self._plain = (
                f"plain: {MOST_FAULTS} batches in a row failed with a graph and succeeded without one ({why})"
            )
            log.error("vocoder: %s", self._plain)

    def _blank(self, frames: int, prompt: VoicePrompt) -> VocoderChunk:
        zeros = np.zeros((frames, *self._model.frame_shape), dtype=self._model.frame_dtype)
        return VocoderChunk(zeros, 0, min(self._spec.right_context, frames - 1), 0, prompt, seed=0)


def _to_host(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in outputs.items()}
