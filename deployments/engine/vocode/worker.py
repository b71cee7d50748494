"""The vocoder's worker: chunks of many requests, and several of one long request, run together."""

import logging
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from cachetools import LRUCache
from torch import Tensor

from deployments.contract.device import Device
from deployments.contract.errors import ChoraleError, StateLost, SynthesisFailed
from deployments.contract.family import FamilySpec, StagedVocoder, VocoderModel
from deployments.contract.speech import VocodedChunk, VocoderChunk, VoicePrompt
from deployments.contract.work import Event, WorkItem
from deployments.engine.device.thread import assert_on_device_thread
from deployments.engine.failures import as_failure
from deployments.engine.graphs import Backend, GraphRunner, doublings
from deployments.engine.vocode.chunks import cut, cut_again

log = logging.getLogger(__name__)

FRAME_BUCKETS = (16, 32, 64, 96, 128)
LONGEST_S = 5.0  # of sound in a chunk
STATES_PER_SLOT = 16  # segments whose state is kept here
PATIENCE = 4  # while first sounds are pending, background work joins one shared batch in this many
MOST_FAULTS = 3  # consecutive failures of the optimised path after which it is given up

Result = VocodedChunk | ChoraleError
State = Mapping[str, np.ndarray]


@dataclass(slots=True, eq=False)
class ActiveItem:
    """left: its chunks that are still to do; made: results of the earlier ones."""

    item: WorkItem
    left: deque[VocoderChunk]
    made: list[VocodedChunk] = field(default_factory=list)
    over: bool = False

    def take(self, result: Result) -> Event | None:
        """The item's event, if `result` is its last or an error."""
        if isinstance(result, VocodedChunk) and not np.isfinite(result.waveform).all():
            result = SynthesisFailed("the vocoder produced NaN or Inf in this segment")
        if isinstance(result, ChoraleError):
            self.over = True
            return Event(self.item.id, error=result)
        self.left.popleft()
        self.made.append(result)
        if self.left:
            self.left[0] = replace(self.left[0], state=result.state)
            return None
        self.over = True
        chunk: VocoderChunk = self.item.payload
        return Event(self.item.id, VocodedChunk.joined(self.made), done=True, index=chunk.first + chunk.left)


class VocodeWorker:
    """Dynamic batching over a VocoderModel. A StageWorker for VocoderChunk payloads: one done event each.

    A payload may be of any length: it is cut into chunks of at most `chunk_frames` (5 s by default), which overlap by
    the spec's context, unless the family's segments are vocoded whole. A batch takes the next chunk of the first in
    line, then those of the others that fit, then further chunks of each. Served items go to the end of the line, so
    that a short item does not wait for a long one. While a listener waits for a first sound (priority 0), every second
    batch holds only such items, and background work takes part in one of PATIENCE others. A batch holds:

    - if the model packs rows of any lengths (`Packing.frames`): up to that many frames, and all of one kind. On an
      accelerator, a StagedVocoder makes its own graphs of them;
    - on an accelerator: up to `max_batch` chunks of one padded length, by the CUDA graph of a pair of `batch_buckets`
      and `frame_buckets`: frames without context, the smallest also with context on the right only, as a segment's
      first chunk has it;
    - else, or if the chunk cannot be padded: one chunk.

    A batch that raises is run again on the plain path, `forward` chunk by chunk, so that only the bad item fails. If
    the optimised path alone fails MOST_FAULTS times in a row, it is given up. optimize: false is always the plain path.
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
        self._staged = model if self._padded and isinstance(model, StagedVocoder) else None
        buckets = sorted(frame_buckets or FRAME_BUCKETS)
        self._longest = chunk_frames or round(LONGEST_S * spec.codes_per_second)
        self._whole = spec.chunking == "whole"
        self._in_turn = spec.state_home == "replica"  # a chunk cannot share a batch with the one before it
        if self._padded and not self._whole:
            self._longest = min(self._longest, buckets[-1])
        both = spec.left_context + spec.right_context
        self._lengths = sorted({spec.right_context + buckets[0], *(both + frames for frames in buckets)})
        self._batches = sorted(batch_buckets or doublings(1, max_batch))
        self._runner = GraphRunner(device, "vocoder", optimize, backend)
        self._plain = "" if optimize else self._runner.reason
        self._waiting: deque[ActiveItem] = deque()
        self._lost: list[Event] = []  # of items whose state is not here
        # segment -> index of the next frame, and the state there; a segment that is evicted is decoded from its start
        self._states: LRUCache[str, tuple[int, State]] = LRUCache(STATES_PER_SLOT * max_batch)
        self._first_only, self._mixed = False, 0  # the last batch; how many others while some waited
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
        chunks = cut_again(chunk, self._spec)
        if not (self._plain or self._whole):
            chunks = [part for piece in chunks for part in cut(piece, self._spec, self._longest)]
        self._waiting.append(ActiveItem(item, deque(chunks)))

    def cancel(self, item_id: str) -> None:
        assert_on_device_thread(self._owner)
        self._waiting = deque(active for active in self._waiting if active.item.id != item_id)
        self._lost = [event for event in self._lost if event.id != item_id]

    def step(self) -> list[Event]:
        assert_on_device_thread(self._owner)
        lost, self._lost = self._lost, []
        items, chunks = self._next_batch()
        if not chunks:
            return lost
        began = time.perf_counter()
        results = self._vocode(chunks)
        if not self._steps:
            log.info("vocoder: first batch in %.3f s", time.perf_counter() - began)
        self._steps += 1
        self._chunks += len(chunks)
        pairs = zip(items, results, strict=True)
        taken = [(active, active.take(result)) for active, result in pairs if not active.over]
        self._waiting = deque(active for active in self._waiting if not active.over)
        return lost + [self._without_state(active, event) for active, event in taken if event is not None]

    def _without_state(self, active: ActiveItem, event: Event) -> Event:
        """Keeps the state here if the segment's `home` is this worker."""
        chunk: VocoderChunk = active.item.payload
        if chunk.home is None or event.value is None:
            return event
        self._states[chunk.home] = (chunk.first + len(chunk.frames) - chunk.right, event.value.state)
        return replace(event, value=replace(event.value, state={}))

    def warm_up(self, prompt: VoicePrompt) -> None:
        """Runs or captures every shape on frames of 0, so that no request waits for that."""
        assert_on_device_thread(self._owner)
        began = time.perf_counter()
        if self._plain:
            self._alone(self._blank(self._lengths[0], prompt))
        elif self._staged is not None:
            self._staged.rehearse(self._batches, self._runner.capture_and_call)
            self._together([self._blank(self._lengths[0], prompt)])
        elif not self._padded:
            longest = [] if self._whole else [self._longest]  # a whole segment may take minutes
            for frames in (self._lengths[0], *longest):
                self._together([self._blank(frames, prompt)])
        else:
            for frames in reversed(self._lengths):
                for batch in reversed(self._batches):
                    inputs = self._model.collate([self._blank(frames, prompt)] * batch, batch, frames)
                    self._runner.capture((batch, frames), self._forward, inputs)
        graphs = len(self._runner.status()["captured"])
        log.info("vocoder: warmed up in %.2f s, %d graphs", time.perf_counter() - began, graphs)

    def stats(self) -> dict[str, float]:
        return {
            "steps": self._steps,
            "chunks": self._chunks,
            "rows": self._chunks,
            "replays": self._runner.replays,
            "mean_batch": self._chunks / self._steps if self._steps else 0.0,
            "retries": self._retries,
        }

    def status(self) -> dict[str, Any]:
        said = self._runner.status()
        return {**said, "optimize": False, "reason": self._plain} if self._plain else said

    def _next_batch(self) -> tuple[list[ActiveItem], list[VocoderChunk]]:
        """The item and the chunk of each row."""
        items: list[ActiveItem] = []
        chunks: list[VocoderChunk] = []
        rows: defaultdict[ActiveItem, list[int]] = defaultdict(list)
        first = [active for active in self._waiting if active.item.priority == 0]
        self._first_only = bool(first) and not self._first_only
        line = first if self._first_only else list(self._waiting)
        self._mixed += bool(first) and not self._first_only
        if first and self._mixed % PATIENCE:
            line = [active for active in line if not active.item.background]
        count = -1
        while count < len(chunks):
            count = len(chunks)
            for active in line:
                own = rows[active]
                if own and self._in_turn:
                    continue
                if len(own) < len(active.left) and self._fits(chunks, active.left[len(own)]):
                    chunks.append(replace(active.left[len(own)], follows=own[-1] if own else None))
                    items.append(active)
                    own.append(len(items) - 1)
        self._waiting = deque(sorted(self._waiting, key=lambda active: bool(rows[active])))
        return items, chunks

    def _fits(self, batch: list[VocoderChunk], chunk: VocoderChunk) -> bool:
        if not batch:
            return True
        if (
            self._plain
            or len(batch) >= self._batches[-1]
            or len(set(map(self._packing.kind, (batch[0], chunk)))) > 1
        ):
            return False
        if most := self._packing.frames:
            return sum(len(other.frames) for other in (*batch, chunk)) <= most
        pair = batch[0], chunk
        alike = len({self._length(one) for one in pair}) == 1
        return self._padded and alike and all(map(self._packing.paddable, pair))

    def _length(self, chunk: VocoderChunk) -> int:
        """The chunk's padded length in frames: a function of the chunk alone."""
        needed, padded = len(chunk.frames), self._padded and self._packing.paddable(chunk)
        return next((length for length in self._lengths if padded and length >= needed), needed)

    def _vocode(self, chunks: list[VocoderChunk]) -> Sequence[Result]:
        if self._plain:
            return self._apart(chunks)
        try:
            results = self._together(chunks)
        except Exception as error:
            self._retries += 1
            why = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            log.warning("vocoder: a batch of %d failed (%s); its chunks run one by one", len(chunks), why)
            results = self._apart(chunks)
            failed_again = any(isinstance(result, ChoraleError) for result in results)
            self._faults = 0 if failed_again else self._faults + 1
            if self._faults == MOST_FAULTS:
                self._plain = (
                    f"plain: {MOST_FAULTS} batches in a row failed on the optimised path alone ({why})"
                )
                log.error("vocoder: %s", self._plain)
            return results
        self._faults = self.failing = 0
        return results

    def _together(self, chunks: list[VocoderChunk]) -> list[VocodedChunk]:
        batch = next(size for size in self._batches if size >= len(chunks)) if self._padded else len(chunks)
        frames = max(self._length(chunk) for chunk in chunks)
        inputs = self._model.collate(chunks, batch, frames)
        if self._staged is not None:
            return self._split(self._staged.staged(inputs, self._batches, self._runner.call), chunks)
        # graphs take padded rows: a chunk that cannot be padded may have another shape at the same length
        key = (batch, frames) if self._packing.paddable(chunks[0]) else ("unpadded", frames)
        outputs = self._runner.call(key, self._forward, inputs)
        return self._split(outputs, chunks)

    def _apart(self, chunks: list[VocoderChunk]) -> list[Result]:
        results: list[Result] = []
        for chunk in chunks:
            before = None if chunk.follows is None else results[chunk.follows]
            if isinstance(before, ChoraleError):
                results.append(before)
                continue
            if before is not None:
                chunk = replace(chunk, state=before.state, follows=None)
            try:
                results.append(self._alone(chunk))
                self.failing = 0
            except Exception as error:
                self.failing += not isinstance(error, ChoraleError)
                results.append(as_failure(error, "the vocoder failed in this segment"))
        return results

    def _alone(self, chunk: VocoderChunk) -> VocodedChunk:
        inputs = self._model.collate([chunk], 1, len(chunk.frames))
        outputs = self._model.forward({name: value.to(self._device) for name, value in inputs.items()})
        return self._split(outputs, [chunk])[0]

    def _split(self, outputs: dict[str, Tensor], chunks: list[VocoderChunk]) -> list[VocodedChunk]:
        return self._model.split({name: value.cpu() for name, value in outputs.items()}, chunks)

    def _blank(self, frames: int, prompt: VoicePrompt) -> VocoderChunk:
        zeros = np.zeros((frames, *self._model.frame_shape), dtype=self._model.frame_dtype)
        return VocoderChunk(zeros, 0, min(self._spec.right_context, frames - 1), 0, prompt, seed=0)
