"""Which waiting item goes to which lease, and which one gives its slot to a first segment."""

from collections.abc import Callable, Iterable

from cachetools import LRUCache

from deployments.leases.queue import AgingQueue
from deployments.leases.records import Entry, Lease

MAX_STRIKES = 3
MOST_INTERRUPTIONS = 2  # of one segment, which decodes its codes again each time


class Dispatcher:
    """The waiting items of a stage and its leases.

    first_share: the share of a lease's slots that first segments can take by interrupting later ones.
    keep: called for a lease whenever it may get work, and at each heartbeat; False closes the lease.
    granted: called with a request's first item when it gets its first slot.
    """

    def __init__(
        self, first_share: float, keep: Callable[[Lease], bool], granted: Callable[[Entry], None]
    ) -> None:
        self.first_share, self.keep, self.granted = first_share, keep, granted
        self.leases: dict[str, Lease] = {}
        self.queue: AgingQueue[Entry] = AgingQueue()
        self.newcomers: dict[str, Entry] = {}  # that wait for their first slot, in order of arrival
        self.interrupted = 0  # so far
        self.homes: LRUCache[str, str] = LRUCache(10_000)  # the lease that did the last item of each home

    def hand_out(self) -> None:
        """Assigns waiting items: first segments up to their share of the slots, then all items in order, and at last
        first segments in the place of later ones, where their share allows it."""
        for entry in self._awaited():
            if not self._assign(entry, self._with_room()):
                break
        while (entry := self.queue.peek()) is not None and self._assign(entry, self.leases.values()):
            pass
        for entry in self._awaited():
            leases = (one for one in self._with_room() if self.keeps(one) and not _on_last_chance(one))
            if (found := to_interrupt(leases)) is None:
                return
            self._interrupt(*found)
            self._grant(found[0], entry)

    def put_back(self, entry: Entry) -> None:
        """Returns an item to the head of the queue."""
        entry.lease = None
        self.queue.put_back(entry.item.id, entry, entry.arrival)

    def remove(self, entry: Entry) -> None:
        """The item waits no longer, for a slot or for its first one."""
        self.queue.remove(entry.item.id)
        self.newcomers.pop(entry.item.id, None)
        if entry.expiry is not None:
            entry.expiry.cancel()
            entry.expiry = None

    def keeps(self, lease: Lease) -> bool:
        """Whether the lease may get work. Closes it if not."""
        if not lease.closing and not self.keep(lease):
            lease.closing = lease.close = True
            lease.wake.set()
        return not lease.closing

    def _assign(self, entry: Entry, leases: Iterable[Lease]) -> bool:
        """To the item's home, else to the one of `leases` that holds the fewest items; False if none can take it."""
        takers = [lease for lease in leases if self._may_take(lease, entry)]
        home = self.homes.get(entry.item.home or "")
        if takers:
            self._grant(min(takers, key=lambda lease: (lease.id != home, len(lease.held))), entry)
        return bool(takers)

    def _grant(self, lease: Lease, entry: Entry) -> None:
        if entry.item.id in self.newcomers:
            self.granted(entry)
        self.remove(entry)
        lease.grant(entry)

    def _awaited(self) -> list[Entry]:
        """First segments without a slot, in order of arrival."""
        return [entry for entry in self.newcomers.values() if entry.awaited] if self.first_share else []

    def _with_room(self) -> list[Lease]:
        return [lease for lease in self.leases.values() if has_room(lease, self.first_share)]

    def _interrupt(self, lease: Lease, entry: Entry) -> None:
        """Takes the entry's slot. It resumes after the delivered codes, before all other waiting items."""
        lease.withdraw(entry.item.id)
        entry.interruptions += 1
        self.interrupted += 1
        self.put_back(entry)

    def _may_take(self, lease: Lease, entry: Entry) -> bool:
        if len(lease.held) >= lease.slots or not self.keeps(lease):
            return False
        last_chance = entry.strikes == MAX_STRIKES - 1
        return not (last_chance and lease.held) and not _on_last_chance(lease)


def to_interrupt(leases: Iterable[Lease]) -> tuple[Lease, Entry] | None:
    """The segment that is cheapest to interrupt, and its lease; None if no segment may be interrupted.

    Never a first segment; background work before later segments; among equals the one with the fewest codes to repeat.
    """
    found = (
        (lease, entry)
        for lease in leases
        for entry in lease.held.values()
        if not entry.awaited and entry.interruptions < MOST_INTERRUPTIONS
    )
    return min(found, key=lambda pair: (-pair[1].item.priority, pair[1].end or 0), default=None)


def has_room(lease: Lease, share: float) -> bool:
    """Whether first segments hold less than their share of the lease's slots: a single slot cannot be shared."""
    reserved = max(1, int(lease.slots * share)) if share > 0 and lease.slots > 1 else 0
    return sum(entry.awaited for entry in lease.held.values()) < reserved


def _on_last_chance(lease: Lease) -> bool:
    """Whether the lease holds an item on its last chance: such an item runs alone, so that the blame is certain."""
    return any(entry.strikes == MAX_STRIKES - 1 for entry in lease.held.values())
