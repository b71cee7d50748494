"""Keys and values of every slot, allocated once: resetting an index frees a slot, and memory stays flat."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deployments.engine.invariant import attend, attend_rows


@dataclass(slots=True)
class Step:
    """The rows of the step in progress, int64 (B,), and their positions; slots and last: the same as host numbers."""

    rows: Tensor
    positions: Tensor
    slots: list[int] | None
    last: list[int] | None


class KVCache:
    """Static slots. Slot `slots`, one past the last, is scratch: padding rows of a batch point at it.

    A slot has `lanes` rows, which share the prefix and go separate ways behind it: row `slot + lane * (slots + 1)`.

    keys, values: (layers, lanes * (slots + 1), heads, context, head_dim); positions: int64 (lanes * (slots + 1),),
    how many are taken (change it through the methods only: the layers of a step share what was looked up in it).
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
    ) -> None:
        rows = lanes * (slots + 1)
        shape = (layers, rows, heads, context, head_dim)
        self.slots, self.context = slots, context
        # zeros and not empty: what is masked out must be finite
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.positions = torch.zeros(rows, dtype=torch.int64, device=device)
        self._step: Step | None = None

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.keys, self.values, self.positions))

    def fill(self, layer: int, slot: int, k: Tensor, v: Tensor) -> None:
        """k, v: (T, H, D) for positions 0..T-1 of the slot, in every lane."""
        self.keys[layer, slot :: self.slots + 1, :, : k.shape[0]] = k.transpose(0, 1)
        self.values[layer, slot :: self.slots + 1, :, : v.shape[0]] = v.transpose(0, 1)

    def write(self, layer: int, rows: Tensor, k: Tensor, v: Tensor) -> None:
        """k, v: (B, H, D) at each row's next position. rows: int64 (B,)."""
        positions = self._at(rows).positions
        self.keys[layer][rows, :, positions] = k.to(self.keys.dtype)
        self.values[layer][rows, :, positions] = v.to(self.values.dtype)

    def attend(self, layer: int, q: Tensor, rows: Tensor, length: int) -> Tensor:
        """q: (B, H, D) over positions 0..positions[rows], the one just written included -> (B, H, D)."""
        step = self._at(rows)
        if step.slots is not None and step.last is not None:
            return attend_rows(q, self.keys[layer], self.values[layer], step.slots, step.last)
        return attend(q, self.keys[layer], self.values[layer], rows, step.positions, length)

    def set_length(self, slot: int, taken: int) -> None:
        self._step = None
        self.positions[slot :: self.slots + 1] = taken

    def advance(self, rows: Tensor, by: Tensor | int = 1) -> None:
        """`by` positions further in each row, int64 (B,) or a number; the scratch slot stays at 0."""
        self._step = None
        self.positions[rows] = self.positions[rows] + by
        self.positions[self.slots :: self.slots + 1] = 0

    def reset(self, slot: int) -> None:
        self.set_length(slot, 0)

    def _at(self, rows: Tensor) -> Step:
        """Looked up once a step, by its first layer."""
        if self._step is None or self._step.rows is not rows:
            positions = self.positions[rows]
            on_host = rows.device.type == "cpu"
            self._step = Step(
                rows, positions, rows.tolist() if on_host else None, positions.tolist() if on_host else None
            )
        return self._step
