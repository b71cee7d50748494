"""Room for first segments: which segment to interrupt when a client waits for its first sound and no slot is free."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from deployments.leases.records import Entry, Lease

MOST_INTERRUPTIONS = 2  # of one segment: it decodes its codes again each time, and must come to an end


def to_interrupt(leases: Iterable[Lease], entry_of: Callable[[str], Entry]) -> tuple[Lease, Entry] | None:
    """The segment that is cheapest to interrupt, and its lease; None if no segment may be interrupted.

    First segments are never interrupted. Background work is interrupted before a client's later segments, and among
    equals the one with the fewest codes to repeat.
    """
    found = [
        (-entry.item.priority, entry.end or 0, lease, entry)
        for lease in leases
        for entry in map(entry_of, lease.held)
        if not entry.awaited and entry.interruptions < MOST_INTERRUPTIONS
    ]
    if not found:
        return None
    _, _, lease, entry = min(found, key=lambda one: one[:2])
    return lease, entry


def has_room(lease: Lease, entry_of: Callable[[str], Entry], share: float) -> bool:
    """Whether first segments hold less than their share of the lease's slots: a single slot cannot be shared."""
    reserved = max(1, int(lease.slots * share)) if share > 0 and lease.slots > 1 else 0
    return sum(entry_of(item_id).awaited for item_id in lease.held) < reserved
