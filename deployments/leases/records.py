"""The records of a stage's scheduler: an item's entry, a lease, and a lease's orders."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from deployments.contract.work import Event, WorkItem


@dataclass(slots=True)
class Entry:
    """An item from its submission until all of its events are delivered."""

    item: WorkItem
    since: float  # when it was submitted
    arrival: int = 0
    lease: str | None = None
    delivered: list[Any] = field(default_factory=list)
    end: int | None = None  # index after the last delivered code
    strikes: int = 0  # leases lost while they held this item
    interruptions: int = 0  # how often it gave its slot to a first segment
    expiry: asyncio.TimerHandle | None = None  # while it waits for its first slot
    outbox: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)

    @property
    def reached(self) -> int:
        """Index after the last code that the listener has."""
        prefix = getattr(self.item.payload, "prefix", None)
        begun = 0 if prefix is None else len(prefix)
        return begun if self.end is None else self.end

    @property
    def awaited(self) -> bool:
        """Whether this is a first segment: its client hears nothing before it."""
        return self.item.priority == 0


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders for a lease, in this order: free the slots of `cancelled`, admit `items`.

    free: unused memory; close: no more work will come, end when all items are done; end: at once, the lease has ended.
    demand: of the whole stage (`Ledger.demand`), which replicas report to Serve's autoscaler.
    """

    cancelled: tuple[str, ...] = ()
    items: tuple[WorkItem, ...] = ()
    free: bool = False
    close: bool = False
    end: bool = False
    demand: float = 0.0


@dataclass(slots=True)
class Lease:
    """One long query of a replica. held: the items assigned to it and not finished, by id.

    slots: items that it processes at once, 0 until it reads its orders. The other fields are orders not yet sent.
    """

    id: str
    opened: float
    slots: int = 0
    held: dict[str, Entry] = field(default_factory=dict)
    closing: bool = False
    granted: list[WorkItem] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    close: bool = False
    free: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def grant(self, entry: Entry) -> None:
        """Assigns an item, which resumes from what was delivered."""
        entry.lease = self.id
        self.held[entry.item.id] = entry
        item = entry.item
        if entry.delivered:
            item = replace(item, payload=item.payload.resume(entry.delivered))
        self.granted.append(item)
        self.wake.set()

    def withdraw(self, item_id: str) -> None:
        """Takes an item back, before or after its replica has been ordered to admit it."""
        self.held.pop(item_id, None)
        waiting = [item for item in self.granted if item.id != item_id]
        if len(waiting) == len(self.granted):
            self.order_cancel(item_id)
        self.granted = waiting

    def order_cancel(self, item_id: str) -> None:
        self.cancelled.append(item_id)
        self.wake.set()

    def take(self, demand: float = 0.0) -> Orders:
        """Returns the orders not yet sent and clears them."""
        orders = Orders(tuple(self.cancelled), tuple(self.granted), self.free, self.close, demand=demand)
        self.cancelled, self.granted, self.free, self.close = [], [], False, False
        self.wake.clear()
        return orders
