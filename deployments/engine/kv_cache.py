"""Keys and values of every slot, allocated once: a slot is freed by resetting an index, and memory stays flat."""

from __future__ import annotations

import torch
from torch import Tensor

from deployments.engine.invariant import attend


class KVCache:
    """Static slots. Slot `slots`, one past the last, is scratch: padding rows of a batch point at it.

    keys, values: (layers, slots + 1, heads, context, head_dim); positions: int64 (slots + 1,), how many are taken.
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
    ) -> None:
        shape = (layers, slots + 1, heads, context, head_dim)
        self.slots, self.context = slots, context
        # zeros and not empty: what is masked out must be finite
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.positions = torch.zeros(slots + 1, dtype=torch.int64, device=device)

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.keys, self.values, self.positions))

    def fill(self, layer: int, slot: int, k: Tensor, v: Tensor) -> None:
        """k, v: (T, H, D) for positions 0..T-1 of the slot."""
        self.keys[layer, slot, :, : k.shape[0]] = k.transpose(0, 1)
        self.values[layer, slot, :, : v.shape[0]] = v.transpose(0, 1)

    def write(self, layer: int, rows: Tensor, k: Tensor, v: Tensor) -> None:
        """k, v: (B, H, D) at each row's next position. rows: int64 (B,)."""
        positions = self.positions[rows]
        self.keys[layer][rows, :, positions] = k.to(self.keys.dtype)
        self.values[layer][rows, :, positions] = v.to(self.values.dtype)

    def attend(self, layer: int, q: Tensor, rows: Tensor, length: int) -> Tensor:
        """q: (B, H, D) over positions 0..positions[rows], the one just written included -> (B, H, D)."""
        return attend(q, self.keys[layer], self.values[layer], rows, self.positions[rows], length)

    def set_length(self, slot: int, taken: int) -> None:
        self.positions[slot] = taken

    def advance(self, rows: Tensor) -> None:
        """One position further in each row, once a step; the scratch slot stays at 0."""
        self.positions[rows] = self.positions[rows] + 1
        self.positions[self.slots] = 0

    def reset(self, slot: int) -> None:
        self.positions[slot] = 0
