"""Which waiting item goes to which lease, and which one gives its slot to a first segment.

Every change of a lease moves it in the indexes, so that no decision looks at all items or asks all leases.
"""

from collections import OrderedDict
from collections.abc import Callable

from cachetools import LRUCache

from deployments.leases.by_load import ByLoad
from deployments.leases.queue import AgingQueue
from deployments.leases.records import NOTHING, Entry, Lease


class Dispatcher:
    """The waiting items of a stage and its leases.

    first_share: the share of a lease's slots that first segments can take by interrupting later ones.
    burst_slots: how many of a lease's slots only items with `burst` get, when the others are taken.
    keep: called for a lease before it gets work, and at each heartbeat; False closes the lease.
    granted: called with a request's first item when it gets its first slot.
    """

    def __init__(
        self,
        first_share: float,
        keep: Callable[[Lease], bool],
        granted: Callable[[Entry], None],
        burst_slots: int = 0,
    ) -> None:
        self.first_share, self.keep, self.granted = first_share, keep, granted
        self.burst_slots = burst_slots  # of each lease
        self.leases: dict[str, Lease] = {}
        self.queue: AgingQueue[Entry] = AgingQueue()
        self.newcomers: set[str] = set()  # that wait for their first slot
        self.closing = 0  # leases
        self.working = self.slots = 0  # leases that get work, and their slots without those for bursts
        self.interrupted = 0  # so far
        self.homes: LRUCache[str, str] = LRUCache(10_000)  # the lease that did the last item of each home
        self._awaited: OrderedDict[str, Entry] = OrderedDict()  # newcomers that are first segments, in order
        self._free = ByLoad()  # leases with a free slot
        self._free_for_first = ByLoad()  # those of them with room for a first segment
        self._free_for_burst = ByLoad()  # leases whose only free slots are for bursts
        self._interruptible: dict[
            str, Lease
        ] = {}  # leases with such room, and segments that may be interrupted

    # -- items

    def add(self, entry: Entry, now: float, newcomer: bool) -> None:
        """Puts an item into the queue."""
        item = entry.item
        entry.arrival = self.queue.put(item.id, entry, item.priority, now)
        if newcomer:
            self.newcomers.add(item.id)
            if entry.awaited and (self.first_share or self.burst_slots):
                self._awaited[item.id] = entry

    def put_back(self, entry: Entry) -> None:
        """Returns an item to the head of the queue."""
        entry.lease = None
        self.queue.put_back(entry.item.id, entry, entry.arrival)

    def remove(self, entry: Entry) -> None:
        """The item waits no longer, for a slot or for its first one."""
        self.queue.remove(entry.item.id)
        self.newcomers.discard(entry.item.id)
        self._awaited.pop(entry.item.id, None)
        if entry.expiry is not None:
            entry.expiry.cancel()
            entry.expiry = None

    # -- leases

    def open(self, lease: Lease) -> None:
        self.leases[lease.id] = lease

    def close(self, lease_id: str) -> Lease | None:
        lease = self.leases.pop(lease_id, None)
        if lease is not None:
            self.closing -= lease.closing
            self._count(lease, -1)
            self._place(lease)
        return lease

    def resize(self, lease: Lease, slots: int) -> None:
        self._count(lease, -1)
        lease.slots = slots
        self._count(lease, 1)
        self._place(lease)

    def release(self, lease: Lease, entry: Entry) -> None:
        """The lease no longer holds the item, which is done."""
        lease.release(entry)
        self._place(lease)

    def withdraw(self, lease: Lease, entry: Entry) -> None:
        """Takes an item back that is not done."""
        lease.withdraw(entry)
        self._place(lease)

    def keeps(self, lease: Lease) -> bool:
        """Whether the lease may get work. Closes it if not."""
        if not lease.closing and not self.keep(lease):
            self._count(lease, -1)
            lease.closing = lease.close = True
            lease.wake.set()
            self.closing += 1
            self._place(lease)
        return not lease.closing

    def _count(self, lease: Lease, change: int) -> None:
        """Adds (1) or takes away (-1) what the lease can do now."""
        if lease.slots and not lease.closing:
            self.working += change
            self.slots += change * self.usual_slots(lease)

    def _place(self, lease: Lease) -> None:
        """Moves the lease in the indexes. An item on its last chance runs alone, so that the blame is certain."""
        takes = not lease.closing and not lease.last_chances and lease.id in self.leases
        usual = self.usual_slots(lease)
        free = takes and len(lease.held) < usual
        room = takes and lease.awaited < self._reserved(lease)
        self._free.set(lease, free)
        self._free_for_first.set(lease, free and room)
        self._free_for_burst.set(lease, takes and usual <= len(lease.held) < lease.slots)
        if room and lease.cheapest != NOTHING:
            self._interruptible[lease.id] = lease
        else:
            self._interruptible.pop(lease.id, None)

    def usual_slots(self, lease: Lease) -> int:
        """Those that are not kept for bursts: one at least."""
        return max(min(lease.slots, 1), lease.slots - self.burst_slots)

    def _reserved(self, lease: Lease) -> int:
        """The slots for which first segments interrupt later ones: a single slot cannot be shared."""
        slots = self.usual_slots(lease)
        return max(1, int(slots * self.first_share)) if self.first_share > 0 and slots > 1 else 0

    # -- decisions

    def hand_out(self) -> None:
        """Assigns waiting items: first segments up to their share of the slots, then all items in order, then first
        segments to the slots for bursts, and at last in the place of later ones, where their share allows it."""
        while (entry := self._first()) is not None and self._assign(entry, self._free_for_first):
            pass
        while (entry := self.queue.peek()) is not None and self._assign(entry, self._free):
            pass
        while (
            (entry := self._first()) is not None and entry.burst and self._assign(entry, self._free_for_burst)
        ):
            pass
        while (entry := self._first()) is not None and (found := self._to_interrupt()) is not None:
            self._interrupt(*found)
            self._grant(found[0], entry)

    def _first(self) -> Entry | None:
        """The first segment that has waited longest for a slot."""
        return next(iter(self._awaited.values()), None)

    def _assign(self, entry: Entry, leases: ByLoad) -> bool:
        """To the item's home, else to the one of `leases` that holds the fewest items; False if none can take it."""
        while (lease := self._taker(entry, leases)) is not None:
            if self.keeps(lease):
                self._grant(lease, entry)
                return True
        return False

    def _taker(self, entry: Entry, leases: ByLoad) -> Lease | None:
        home = leases.get(self.homes.get(entry.item.home, "")) if entry.item.home else None
        for lease in (home, leases.least()):
            if lease is not None and not (entry.last_chance and lease.held):
                return lease
        return None

    def _grant(self, lease: Lease, entry: Entry) -> None:
        if entry.item.id in self.newcomers:
            self.granted(entry)
        self.remove(entry)
        lease.grant(entry)
        self._place(lease)

    def _interrupt(self, lease: Lease, entry: Entry) -> None:
        """Takes the entry's slot. It resumes after the delivered codes, before all other waiting items."""
        self.withdraw(lease, entry)
        entry.interruptions += 1
        self.interrupted += 1
        self.put_back(entry)

    def _to_interrupt(self) -> tuple[Lease, Entry] | None:
        """The segment that is cheapest to interrupt, and its lease; None if no segment may be interrupted."""
        while True:
            cost, found = NOTHING, None
            for lease in self._interruptible.values():
                if (
                    lease.cheapest < cost
                    and (entry := lease.find_cheapest()) is not None
                    and entry.cost < cost
                ):
                    cost, found = entry.cost, (lease, entry)
            if found is None or self.keeps(found[0]):
                return found
