"""What travels between a stage's scheduler and its replicas, and the worker that a replica drives."""

import re
from dataclasses import dataclass
from typing import Any, Protocol

from deployments.contract.errors import ChoraleError

ITEM_ID = re.compile(r"(.+)\.[0-9a-f]{8}\.\d.*")  # of `SpeechStream`: request, random part, segment
BACKGROUND = 10  # from this priority on, no client is waiting for the result


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One sequence (Gpt) or one chunk (Vocoder). `priority`: lower goes first; equal ones in order of arrival.

    `home`: if it can, the item goes where the last one of this name was done.
    `payload` is a GptRequest or a VocoderChunk: it knows how to `resume(delivered)`.
    `trace`: the W3C trace context (`traceparent`) of the request's span in the scheduler, if the request is traced.
    """

    id: str
    payload: Any
    priority: int = 0
    home: str | None = None
    trace: str | None = None

    @property
    def background(self) -> bool:
        return self.priority >= BACKGROUND


@dataclass(frozen=True, slots=True)
class Event:
    """A part of an item's result. Nothing follows `done` or `error`.

    `index` counts the item's codes before it, and `len(value)` those in it. A value of several codes can be sliced.
    """

    id: str
    value: Any = None
    done: bool = False
    error: ChoraleError | None = None
    index: int = 0


def log_fields(item_id: str) -> dict[str, str]:
    """`extra` of a log record about an item, so that JSON logs of all stages can be joined by the request's id."""
    found = ITEM_ID.fullmatch(item_id)
    return {"item": item_id, "request_id": found[1] if found else item_id}


class StageWorker(Protocol):
    """What the lease loop drives, always on the replica's device thread."""

    slots: int
    failing: int  # consecutive device steps that raised: reveals a device that no longer responds

    @property
    def active(self) -> int:
        """Items admitted and not yet finished."""
        ...

    def admit(self, item: WorkItem) -> None: ...

    def cancel(self, item_id: str) -> None:
        """Frees the item's slot at once; unknown ids are ignored."""

    def step(self) -> list[Event]:
        """One unit of device work for all active items. An item's failure is an event of it, never an exception."""
        ...
