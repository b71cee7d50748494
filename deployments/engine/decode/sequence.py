"""One request in progress: what was launched, what came back, and what is still to be sent to its listener."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np

from deployments.contract.family import Prefill
from deployments.contract.speech import GptRequest, Run
from deployments.contract.work import Event, WorkItem

StepRow = Mapping[str, np.ndarray]  # of one step and row: the fields of a Run, for one code
NEVER = 1 << 62


class State(Enum):
    WAITING = auto()  # without a slot
    PREFILL = auto()
    RUNNING = auto()
    ENDED = auto()  # results that still arrive are dropped


@dataclass(slots=True, eq=False)
class Sequence:
    """launched, read: steps enqueued, and steps whose code has come back to the host, prefix included."""

    item: WorkItem
    alone_from: int = NEVER  # is stepped alone from this code on, because a step with it has failed
    state: State = State.WAITING

    slot: int = -1
    prefill: Prefill | None = None
    prefill_length: int = 0  # cache positions that the prefill filled
    limit: int = 0  # codes, at most
    emit_at: int = 0  # the read count that makes the next event

    launched: int = 0
    read: int = 0
    codes: list[np.ndarray] = field(default_factory=list)  # all that came back after the prefix
    pending: list[StepRow] = field(default_factory=list)  # came back but not sent yet
    _sounding: bool = False

    @property
    def id(self) -> str:
        return self.item.id

    @property
    def request(self) -> GptRequest:
        return self.item.payload

    @property
    def ended(self) -> bool:
        return self.state is State.ENDED

    @property
    def known(self) -> int:
        """How many codes the listener had when the sequence began."""
        return 0 if self.request.prefix is None else len(self.request.prefix)

    @property
    def sounding(self) -> bool:
        """Whether its listener has a run."""
        return self._sounding or self.known > 0

    @property
    def awaited(self) -> bool:
        """Whether a listener waits for this as the first sound."""
        return self.item.priority == 0 and not self.sounding

    @property
    def alone(self) -> bool:
        return self.launched >= self.alone_from

    @property
    def following(self) -> bool:
        """Whether the next code is known already."""
        return self.launched < self.known

    @property
    def next_position(self) -> int:
        return self.prefill_length + self.launched

    def take(self, index: int, row: StepRow) -> None:
        """The code of step `index` has come back; the arrays are the caller's to use again."""
        self.read = index + 1
        if index >= self.known:
            self.pending.append({name: part.copy() for name, part in row.items()})
            self.codes.append(self.pending[-1]["codes"])

    def flush(self, done: bool, cut: bool = False) -> Event:
        steps, self.pending, self._sounding = self.pending, [], True
        value = None
        if steps:
            value = Run(**{name: np.stack([step[name] for step in steps]) for name in steps[0]}, cut=cut)
        return Event(self.id, value, done=done, index=self.read - len(steps))

    def sent(self) -> np.ndarray | None:
        """The codes that the listener has by now: the prefix with which to start again."""
        count = max(self.known, self.read - len(self.pending)) - self.known
        if not count:
            return self.request.prefix
        new = np.stack(self.codes[:count])
        return new if self.request.prefix is None else np.concatenate((self.request.prefix, new))


def is_lost(row: StepRow) -> bool:
    """Whether a code or frame holds NaN or infinity. An integer code says so by being negative."""
    code = row["codes"]
    if code.dtype.kind == "i" and (code < 0).any():
        return True
    return any(part.dtype.kind == "f" and not np.isfinite(part).all() for part in row.values())


def groups(sequences: Iterable[Sequence]) -> Iterator[list[Sequence]]:
    """Each sequence that is stepped alone, then the others together, in the order of their slots."""
    ready = sorted((s for s in sequences if s.launched < s.limit), key=lambda s: s.slot)
    yield from ([s] for s in ready if s.alone)
    if together := [s for s in ready if not s.alone]:
        yield together
