"""The sequences of a decoder in the order of their admission, and the free slots."""

import heapq
from collections.abc import Iterator

from deployments.contract.work import WorkItem
from deployments.engine.decode.sequence import NEVER, Sequence, State


class Roster:
    """slots: the most sequences, with a slot or waiting for one."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._sequences: dict[str, Sequence] = {}
        self._free = list(range(slots))  # a heap: neighbours are cheaper than scattered slots

    def __len__(self) -> int:
        return len(self._sequences)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._sequences.values())

    def of(self, state: State) -> list[Sequence]:
        return [s for s in self if s.state is state]

    def get(self, item_id: str) -> Sequence | None:
        return self._sequences.get(item_id)

    def admit(self, item: WorkItem) -> None:
        """Raises RuntimeError when every slot is taken, or the id is at work already."""
        if len(self) >= self.slots:
            raise RuntimeError("no free slot")
        if item.id in self._sequences:
            raise RuntimeError(f"{item.id} already has a slot")
        self._sequences[item.id] = Sequence(item)

    def give_slot(self, sequence: Sequence) -> None:
        sequence.slot, sequence.state = heapq.heappop(self._free), State.PREFILL

    def end(self, sequence: Sequence) -> None:
        """Removes the sequence and frees its slot."""
        self._vacate(sequence)
        del self._sequences[sequence.id]

    def begin_again(self, sequence: Sequence, item: WorkItem, alone_from: int = NEVER) -> None:
        """Replaces the sequence by one for `item`, which waits in the same place, and frees its slot."""
        self._vacate(sequence)
        self._sequences[item.id] = Sequence(item, alone_from)

    def _vacate(self, sequence: Sequence) -> None:
        if sequence.prefill is not None:
            sequence.prefill.close()
        if sequence.state in (State.PREFILL, State.RUNNING):
            heapq.heappush(self._free, sequence.slot)
        sequence.state = State.ENDED
