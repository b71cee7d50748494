"""Leases that can take an item, by the number of items that they hold."""

from itertools import chain

from deployments.leases.records import Lease


class ByLoad:
    """Finds the least loaded lease without a search over all of them. Equally loaded ones take turns."""

    def __init__(self) -> None:
        self._levels: list[dict[str, Lease]] = []  # the leases of each load, by id
        self._loads: dict[str, int] = {}  # by id

    def set(self, lease: Lease, member: bool) -> None:
        """Adds the lease, moves it to its present load, or removes it if it is not a member."""
        load = len(lease.held) if member else None
        before = self._loads.get(lease.id)
        if load == before:
            return
        if before is not None:
            del self._levels[before][lease.id], self._loads[lease.id]
        if load is not None:
            while len(self._levels) <= load:
                self._levels.append({})
            self._levels[load][lease.id] = lease
            self._loads[lease.id] = load

    def get(self, lease_id: str) -> Lease | None:
        load = self._loads.get(lease_id)
        return None if load is None else self._levels[load][lease_id]

    def least(self) -> Lease | None:
        return next(chain.from_iterable(level.values() for level in self._levels), None)
