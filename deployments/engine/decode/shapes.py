"""The shapes of decode steps: few enough that a graph can be captured for each before the first request."""

from collections.abc import Sequence

from deployments.contract.errors import DoesNotFit
from deployments.engine.graphs import doublings

_SHORTEST = 256
_STEP = 64


class Shapes:
    """Rows of a step, and positions that are attended to.

    slots, context: the largest of each. batches, lengths: the buckets, powers of two and doublings if not given. Steps
    are padded to them for graphs. Raises DoesNotFit ("buckets") if the buckets do not end at the largest.
    """

    def __init__(
        self,
        slots: int,
        context: int,
        batches: Sequence[int] | None = None,
        lengths: Sequence[int] | None = None,
    ) -> None:
        self._context = context
        self.batches = sorted(batches or doublings(1, slots))
        self.lengths = sorted(lengths or doublings(_SHORTEST, context))
        if self.batches[-1] != slots or self.lengths[-1] != context:
            raise DoesNotFit(
                f"they must end at {context}, the positions of a slot of this family, and those of batches at {slots},"
                " the slots",
                size="buckets",
            )

    def batch(self, rows: int, padded: bool) -> int:
        return next(size for size in self.batches if size >= rows) if padded else rows

    def length(self, needed: int, padded: bool) -> int:
        if padded:
            return next(length for length in self.lengths if length >= needed)
        return min(self._context, -(-needed // _STEP) * _STEP)
