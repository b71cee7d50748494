"""What the rows of a decode step write to a layer's cache, and what they attend to. TorchScript compiles it."""

from typing import NamedTuple

import torch
from torch import Tensor

from deployments.engine.decode.paged import Pages, attend_pages, write_pages
from deployments.engine.invariant import attend_range


class SlotRange(NamedTuple):
    """`size` rows of a batch from `row` on, whose slots are neighbours from `slot` on.

    length: positions that they attend to; mask: (size, 1, 1, length), added to the scores, or None for no mask.
    """

    row: int
    slot: int
    size: int
    length: int
    mask: Tensor | None


class AttentionPlan(NamedTuple):
    """Where the rows of a step write, and what they attend to: made once for all layers. TorchScript takes it.

    rows, positions: int64 (B,); ranges: how to attend on the CPU; empty: over `length` positions of every row, as
    graphs need; pages: of a paged cache, which has no use for the other two.
    """

    rows: Tensor
    positions: Tensor
    ranges: list[SlotRange]
    length: int
    pages: Pages | None = None


def write(layer: Tensor, plan: AttentionPlan, kv: Tensor) -> None:
    """kv: (B, 2, H, D), key and value at each row's next position. layer: as KVCache.layers."""
    pages = plan.pages
    if pages is not None:
        write_pages(layer, pages, kv)
    else:
        layer[plan.rows, :, :, plan.positions] = kv.to(layer.dtype)


def attend(layer: Tensor, plan: AttentionPlan, q: Tensor) -> Tensor:
    """q: (B, H, D) over positions 0..positions[rows] -> (B, H, D). Neighbouring query heads share a KV head."""
    pages = plan.pages
    if pages is not None:
        return attend_pages(layer, pages, q)
    if len(plan.ranges) == 0:
        k = layer[:, 0, :, : plan.length].index_select(0, plan.rows)  # (B, H, L, D)
        v = layer[:, 1, :, : plan.length].index_select(0, plan.rows)
        seen = torch.arange(plan.length, device=q.device) <= plan.positions[:, None]  # (B, L)
        return attend_range(q, k, v, seen[:, None, None])
    mixed: list[Tensor] = []
    for part in plan.ranges:
        seen = layer[part.slot : part.slot + part.size, :, :, : part.length]
        mixed.append(attend_range(q[part.row : part.row + part.size], seen[:, 0], seen[:, 1], part.mask))
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed)
