"""What a stage's scheduler writes down: an item's entry, a lease, and the orders that a lease is given."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from deployments.contract.work import Event, WorkItem


@dataclass(slots=True)
class Entry:
    """An item from its submission until its listener has everything."""

    item: WorkItem
    arrival: int = 0
    lease: str | None = None
    delivered: list[Any] = field(default_factory=list)
    end: int | None = None  # index behind the last delivered code
    strikes: int = 0  # leases lost while they held this item
    interruptions: int = 0  # how often it gave its slot to a first segment
    expiry: asyncio.TimerHandle | None = None  # while it waits for its first slot
    outbox: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)

    @property
    def awaited(self) -> bool:
        """Whether a listener hears nothing before this."""
        return self.item.priority == 0


@dataclass(slots=True)
class Lease:
    """One query that a replica is busy with. `held` are the ids that it was given and has not finished.

    slots: items that it works on at once, 0 until it listens to its orders; the rest are orders not yet passed on.
    """

    id: str
    opened: float
    slots: int = 0
    held: dict[str, None] = field(default_factory=dict)
    closing: bool = False
    granted: list[WorkItem] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    close: bool = False
    free: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self) -> Orders:
        """The orders not yet passed on; they count as passed on now."""
        orders = Orders(tuple(self.cancelled), tuple(self.granted), self.free, self.close)
        self.cancelled, self.granted, self.free, self.close = [], [], False, False
        self.wake.clear()
        return orders


@dataclass(frozen=True, slots=True)
class Orders:
    """What a lease is to do, in this order: free the slots of `cancelled`, admit `items`.

    free: give back memory that no work needs; close: no more work will come, end when all is done; end: this lease is
    not known (any more), end at once.
    """

    cancelled: tuple[str, ...] = ()
    items: tuple[WorkItem, ...] = ()
    free: bool = False
    close: bool = False
    end: bool = False
