"""The dispatcher's indexes against plain searches over all leases and items, after any sequence of changes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contract.work import WorkItem
from deployments.leases.by_load import ByLoad
from deployments.leases.dispatcher import Dispatcher
from deployments.leases.records import MAX_STRIKES, MOST_INTERRUPTIONS, Entry, Lease

SHARE, SLOTS = 0.5, 4


class Searching(Dispatcher):
    """Compares each choice with that of a search."""

    def can_take(self, lease: Lease, entry: Entry, slots: range) -> bool:
        """slots: how many of them may be taken before."""
        alone = entry.strikes == MAX_STRIKES - 1
        held = lease.held.values()
        return not (
            lease.closing
            or len(held) not in slots
            or (alone and held)
            or any(other.strikes == MAX_STRIKES - 1 for other in held)
        )

    def has_room(self, lease: Lease) -> bool:
        reserved = max(1, int((SLOTS - self.burst_slots) * SHARE))
        return sum(entry.awaited for entry in lease.held.values()) < reserved

    def _taker(self, entry: Entry, leases: ByLoad) -> Lease | None:
        chosen = super()._taker(entry, leases)
        usual = SLOTS - self.burst_slots
        slots = range(usual, SLOTS) if leases is self._free_for_burst else range(usual)
        takers = [lease for lease in self.leases.values() if self.can_take(lease, entry, slots)]
        if leases is self._free_for_first:
            takers = [lease for lease in takers if self.has_room(lease)]
        assert (chosen is None) == (not takers)
        assert chosen is None or chosen in takers
        home = self.homes.get(entry.item.home or "")
        if chosen is not None and chosen.id != home:
            assert home not in [lease.id for lease in takers]
            assert len(chosen.held) == min(len(lease.held) for lease in takers)
        return chosen

    def _to_interrupt(self) -> tuple[Lease, Entry] | None:
        chosen = super()._to_interrupt()
        costs = [
            (-entry.item.priority, entry.end or 0)
            for lease in self.leases.values()
            if not lease.closing and self.has_room(lease)
            if all(entry.strikes < MAX_STRIKES - 1 for entry in lease.held.values())
            for entry in lease.held.values()
            if entry.item.priority > 0 and entry.interruptions < MOST_INTERRUPTIONS
        ]
        assert (chosen is None) == (not costs)
        assert chosen is None or chosen[1].cost == min(costs)
        return chosen


class Stage:
    """A dispatcher, and what its ledger would do to it."""

    def __init__(self, burst_slots: int) -> None:
        self.unwanted: set[str] = set()
        self.granted: list[str] = []
        self.dispatcher = Searching(
            SHARE, self.keep, lambda entry: self.granted.append(entry.item.id), burst_slots
        )
        self.number = 0

    def keep(self, lease: Lease) -> bool:
        return lease.id not in self.unwanted

    def held(self) -> list[tuple[Lease, Entry]]:
        leases = self.dispatcher.leases.values()
        return [(lease, entry) for lease in leases for entry in lease.held.values()]

    def change(self, action: str, pick: int) -> None:
        dispatcher, leases, held = self.dispatcher, list(self.dispatcher.leases.values()), self.held()
        self.number += 1
        if action == "open":
            lease = Lease(f"lease {self.number}", 0.0)
            dispatcher.open(lease)
            dispatcher.resize(lease, SLOTS)
        elif action == "item":
            priority, home = (0, 0, 1, 1, 10)[pick % 5], (None, "home")[pick % 7 == 0]
            item = WorkItem(f"item {self.number}", None, priority, home)
            entry = Entry(item, float(self.number), burst=bool(pick % 4))
            dispatcher.add(entry, entry.since, newcomer=priority != 1)
        elif action == "lost" and leases:
            lost = dispatcher.close(leases[pick % len(leases)].id)
            assert lost is not None
            for entry in lost.held.values():
                entry.strikes = min(entry.strikes + 1, MAX_STRIKES - 1)
                dispatcher.put_back(entry)
        elif action == "unwanted" and leases:
            self.unwanted.add(leases[pick % len(leases)].id)
        elif held:
            lease, entry = held[pick % len(held)]
            if action == "codes":
                entry.end = (entry.end or 0) + 16
            elif action == "done":
                dispatcher.release(lease, entry)
                dispatcher.homes["home"] = lease.id
            elif action == "cancel":
                dispatcher.withdraw(lease, entry)
        dispatcher.hand_out()


ACTIONS = ("open", "item", "item", "item", "item", "codes", "codes", "done", "cancel", "lost", "unwanted")


@pytest.mark.parametrize("burst_slots", [0, 1])
@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 100)), max_size=120))
def test_every_choice_is_that_of_a_search_over_all_leases(burst_slots, changes):
    async def run() -> None:
        stage = Stage(burst_slots)
        for action, pick in [("open", 0), ("open", 0), *changes]:
            stage.change(action, pick)
            for lease in stage.dispatcher.leases.values():
                assert len(lease.held) <= SLOTS
                others = [entry for entry in lease.held.values() if not (entry.awaited and entry.burst)]
                assert len(others) <= SLOTS - burst_slots
            assert stage.dispatcher.closing == sum(one.closing for one in stage.dispatcher.leases.values())
        assert len(set(stage.granted)) == len(stage.granted), "a request gets its first slot once"

    asyncio.run(run())


def test_equally_loaded_leases_take_turns():
    leases = ByLoad()
    a, b = Lease("a", 0.0, slots=2), Lease("b", 0.0, slots=2)
    for lease in (a, b):
        leases.set(lease, True)
    order = []
    while (least := leases.least()) is not None:
        order.append(least.id)
        least.grant(Entry(WorkItem(str(len(order)), None), 0.0))
        leases.set(least, len(least.held) < least.slots)
    assert order == ["a", "b", "a", "b"]
    assert leases.get("a") is None
    leases.set(a, True)
    assert leases.get("a") is a is leases.least()
