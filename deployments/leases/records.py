"""The records of a stage's scheduler: an item's entry, a lease, and a lease's orders."""

import asyncio
import math
from dataclasses import dataclass, field, replace
from typing import Any

from deployments.contract.work import Event, WorkItem

MAX_STRIKES = 3
MOST_INTERRUPTIONS = 2  # of one segment, which decodes its codes again each time

Cost = tuple[float, int]
NOTHING: Cost = (math.inf, 0)  # the cost where no segment may be interrupted


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
    burst: bool = False  # whether it may take a slot that is kept for bursts
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

    @property
    def last_chance(self) -> bool:
        return self.strikes == MAX_STRIKES - 1

    @property
    def interruptible(self) -> bool:
        return not self.awaited and self.interruptions < MOST_INTERRUPTIONS

    @property
    def cost(self) -> Cost:
        """Of an interruption: lowest for background work, then for the fewest codes to repeat."""
        return -self.item.priority, self.end or 0


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

    slots: items that it processes at once, 0 until it reads its orders. awaited, last_chances: how many of the held
    items are first segments, and how many on their last chance. cheapest: no interruption of a held segment costs less.
    The other fields are orders not yet sent.
    """

    id: str
    opened: float
    slots: int = 0
    held: dict[str, Entry] = field(default_factory=dict)
    awaited: int = 0
    last_chances: int = 0
    cheapest: Cost = NOTHING
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
        self.awaited += entry.awaited
        self.last_chances += entry.last_chance
        if entry.interruptible:
            self.cheapest = min(self.cheapest, entry.cost)
        item = entry.item
        if entry.delivered:
            item = replace(item, payload=item.payload.resume(entry.delivered))
        self.granted.append(item)
        self.wake.set()

    def release(self, entry: Entry) -> None:
        if self.held.pop(entry.item.id, None) is not None:
            self.awaited -= entry.awaited
            self.last_chances -= entry.last_chance

    def withdraw(self, entry: Entry) -> None:
        """Takes an item back, before or after its replica has been ordered to admit it."""
        self.release(entry)
        waiting = [item for item in self.granted if item.id != entry.item.id]
        if len(waiting) == len(self.granted):
            self.order_cancel(entry.item.id)
        self.granted = waiting

    def find_cheapest(self) -> Entry | None:
        """The held segment that is cheapest to interrupt. Costs only grow, so `cheapest` stays true until a grant."""
        segments = (entry for entry in self.held.values() if entry.interruptible)
        found = min(segments, key=lambda entry: entry.cost, default=None)
        self.cheapest = NOTHING if found is None else found.cost
        return found

    def order_cancel(self, item_id: str) -> None:
        self.cancelled.append(item_id)
        self.wake.set()

    def take(self, demand: float = 0.0) -> Orders:
        """Returns the orders not yet sent and clears them."""
        orders = Orders(tuple(self.cancelled), tuple(self.granted), self.free, self.close, demand=demand)
        self.cancelled, self.granted, self.free, self.close = [], [], False, False
        self.wake.clear()
        return orders
