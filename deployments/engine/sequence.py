"""A request in a slot of the decode loop: what was launched, what came back, what is still to be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from deployments.engine.work import Event, WorkItem
from deployments.families.base import GptRequest, Run

Taken = tuple[np.ndarray, ...]  # of one step and row: its code, its frame, whether that is kept


@dataclass(slots=True, eq=False)
class Sequence:
    """launched, read: steps enqueued, and steps whose code has come back to the host, prefix included."""

    item: WorkItem
    slot: int
    taken: int  # cache positions that the prefill filled
    limit: int  # codes, at most
    emit_at: int  # read count that makes the next event
    alone_from: int  # decodes in no one's company from this code on: a step with it in has failed
    launched: int = 0
    read: int = 0
    codes: list[np.ndarray] = field(default_factory=list)  # all that came back behind the prefix
    pending: list[Taken] = field(default_factory=list)  # what was not told yet
    sounding: bool = False  # its listener has a run
    awaited: bool = False  # a listener has nothing yet
    gone: bool = False

    @property
    def id(self) -> str:
        return self.item.id

    @property
    def request(self) -> GptRequest:
        return self.item.payload

    @property
    def known(self) -> int:
        """How many codes the listener had when the sequence began."""
        return 0 if self.request.prefix is None else len(self.request.prefix)

    @property
    def alone(self) -> bool:
        return self.launched >= self.alone_from

    @property
    def following(self) -> bool:
        """Whether the next code is known already."""
        return self.launched < self.known

    def take(self, index: int, taken: Taken) -> None:
        """The code of step `index` has come back; the arrays are the caller's to use again."""
        self.read = index + 1
        if index >= self.known:
            self.pending.append(tuple(part.copy() for part in taken))
            self.codes.append(self.pending[-1][0])

    def flush(self, done: bool, cut: bool = False) -> Event:
        steps, self.pending, self.sounding, self.awaited = self.pending, [], True, False
        value = Run(*(np.stack(part) for part in zip(*steps, strict=True)), cut=cut) if steps else None
        return Event(self.id, value, done=done, index=self.read - len(steps))

    def told(self) -> np.ndarray | None:
        """The codes that the listener has by now, to begin again behind them."""
        count = max(self.known, self.read - len(self.pending)) - self.known
        if not count:
            return self.request.prefix
        new = np.stack(self.codes[:count])
        return new if self.request.prefix is None else np.concatenate((self.request.prefix, new))


def is_lost(taken: Taken) -> bool:
    """Whether a row lost its numbers: a negative code, or one or a frame that is not finite."""
    return any(_unsound(part, position) for position, part in enumerate(taken[:2]))


def _unsound(part: np.ndarray, position: int) -> bool:
    if part.dtype.kind == "i":
        return position == 0 and bool((part < 0).any())
    return part.dtype.kind == "f" and not np.isfinite(part).all()


def groups(sequences: list[Sequence]) -> Iterator[list[Sequence]]:
    """Those that decode together, in the order of their slots, and those that decode alone."""
    ready = sorted((s for s in sequences if s.launched < s.limit), key=lambda s: s.slot)
    yield from ([s] for s in ready if s.alone)
    if together := [s for s in ready if not s.alone]:
        yield together
