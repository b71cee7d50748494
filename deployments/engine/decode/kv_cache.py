"""Keys and values of every slot, allocated once: resetting an index frees a slot, and memory stays flat."""

from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from deployments.engine.decode.attention_plan import AttentionPlan, SlotRange, attend, write
from deployments.engine.decode.paged import fill_pages, paged_shape, pages_of
from deployments.engine.device.memory import require
from deployments.engine.invariant import masked_attention_holds

_PAGE = 64  # positions: on the CPU, the attended ones are rounded up to a multiple of it
_NEVER = float("-inf")


class KVCache:
    """Static slots. Slot `slots`, one past the last, is scratch: padding rows of a batch point at it.

    A slot has `lanes` rows, which share the prefix and differ after it: row `slot + lane * (slots + 1)`. heads: of keys
    and values; queries: query heads that share each. layers: (lanes * (slots + 1), 2, heads, context, head_dim) each,
    keys, then values; positions: int64 (lanes * (slots + 1),), how many are taken (change it through the methods only).
    static: attends over whole buckets in static shapes, as graphs need; false on the CPU. paged: fp16 on the CPU, where
    the layers have the shape of `paged_shape`. Raises DoesNotFit ("slots") if the slots do not fit into the device's
    free memory.
    """

    def __init__(
        self,
        layers: int,
        slots: int,
        heads: int,
        context: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
        lanes: int = 1,
        queries: int = 1,
    ) -> None:
        rows = lanes * (slots + 1)
        self.paged = device.type == "cpu" and dtype == torch.float16 and queries == 1
        shape = (
            paged_shape(rows, context, heads, head_dim) if self.paged else (rows, 2, heads, context, head_dim)
        )
        self.slots, self.context = slots, context
        require(f"keys and values of {slots} slots", layers * prod(shape) * dtype.itemsize, device, "slots")
        # zeros and not empty, because masked values must be finite
        self.layers = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.positions = torch.zeros(rows, dtype=torch.int64, device=device)
        self.static = device.type != "cpu"
        self._together = not (self.static or self.paged) and masked_attention_holds(heads, head_dim, queries)
        self._plan: AttentionPlan | None = None

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in (*self.layers, self.positions))

    def fill(self, layer: int, slot: int, k: Tensor, v: Tensor) -> None:
        """k, v: (T, heads, D) for positions 0..T-1 of the slot, in every lane."""
        if self.paged:
            fill_pages(self.layers[layer], slice(slot, None, self.slots + 1), k, v)
            return
        lanes = self.layers[layer][slot :: self.slots + 1, :, :, : k.shape[0]]  # (lanes, 2, H, T, D)
        lanes[:, 0] = k.transpose(0, 1)
        lanes[:, 1] = v.transpose(0, 1)

    def write(self, layer: int, rows: Tensor, kv: Tensor) -> None:
        """kv: (B, 2, heads, D), key and value at each row's next position. rows: int64 (B,)."""
        write(self.layers[layer], self.plan(rows), kv)

    def attend(self, layer: int, q: Tensor, rows: Tensor, length: int) -> Tensor:
        """q: (B, queries * heads, D) over positions 0..positions[rows], the one just written included -> as q.

        length: a host number, more than every row's position; the CPU attends to no more positions than needed.
        """
        return attend(self.layers[layer], self.plan(rows, length), q)

    def set_length(self, slot: int, taken: int) -> None:
        self._plan = None
        self.positions[slot :: self.slots + 1] = taken

    def advance(self, rows: Tensor, by: Tensor | int = 1) -> None:
        """`by` positions further in each row, int64 (B,) or a number; the scratch slot stays at 0."""
        self._plan = None
        self.positions[rows] = self.positions[rows] + by
        self.positions[self.slots :: self.slots + 1] = 0

    def wipe(self, slot: int) -> None:
        """Clears the slot's memory too: a masked value that is not finite would still reach the next sequence."""
        self.set_length(slot, 0)
        for layer in self.layers:
            (layer[:, slot :: self.slots + 1] if self.paged else layer[slot :: self.slots + 1]).zero_()

    def index(self, rows: Tensor) -> Tensor | slice:
        """`rows`, or the same as a range where they are neighbours: on the CPU a view is cheaper than a gather."""
        ranges = self.plan(rows).ranges
        return slice(ranges[0].slot, ranges[0].slot + ranges[0].size) if len(ranges) == 1 else rows

    def plan(self, rows: Tensor, length: int = 0) -> AttentionPlan:
        """The plan of the next step with these rows, kept until `advance`. length: as for `attend`."""
        known = self._plan
        if known is None or known.rows is not rows:
            positions = self.positions[rows]
            ranges = [] if self.static or self.paged else self._ranges(rows.tolist(), positions)
            pages = pages_of(rows, positions, self.layers[0].shape, self.slots) if self.paged else None
            known = self._plan = AttentionPlan(rows, positions, ranges, length, pages)
        if self.static and length and known.length != length:
            known = self._plan = known._replace(length=length)
        return known

    def _ranges(self, slots: list[int], positions: Tensor) -> list[SlotRange]:
        last = positions.tolist()
        if not self._together:
            return [SlotRange(b, slot, 1, last[b] + 1, None) for b, slot in enumerate(slots)]
        breaks = [b + 1 for b, (slot, after) in enumerate(pairwise(slots)) if after != slot + 1]
        ranges = []
        for begin, end in pairwise([0, *breaks, len(slots)]):
            length = min(self.context, (max(last[begin:end]) // _PAGE + 1) * _PAGE)
            seen = torch.arange(length) <= positions[begin:end, None]
            mask = torch.where(seen, 0.0, _NEVER)[:, None, None]
            ranges.append(SlotRange(begin, slots[begin], end - begin, length, mask))
        return ranges
