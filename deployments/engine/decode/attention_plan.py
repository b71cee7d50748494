"""What the rows of a decode step write to a layer's cache, and what they attend to, in terms that TorchScript takes.

Annotations are evaluated here, for it does not resolve the postponed ones of named tuples.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from deployments.engine.invariant import attend_range


class Span(NamedTuple):
    """`size` rows of a batch from `row` on, whose slots are neighbours from `slot` on, `length` positions in sight.

    mask: (size, 1, 1, length), added to the scores, or None where every position in sight is seen.
    """

    row: int
    slot: int
    size: int
    length: int
    mask: Tensor | None


class Sight(NamedTuple):
    """Where the rows of a step write, and what they see: looked up once for all layers. TorchScript takes it.

    rows, positions: int64 (B,); spans: how to attend on the CPU; empty: over `length` positions of every row, as
    graphs need.
    """

    rows: Tensor
    positions: Tensor
    spans: list[Span]
    length: int


def write(layer: Tensor, sight: Sight, kv: Tensor) -> None:
    """kv: (B, 2, H, D), key and value at each row's next position. layer: as KVCache.layers."""
    layer[sight.rows, :, :, sight.positions] = kv.to(layer.dtype)


def attend(layer: Tensor, sight: Sight, q: Tensor) -> Tensor:
    """q: (B, H, D) over positions 0..positions[rows], the one just written included -> (B, H, D).

    With fewer KV heads than H, each serves as many query heads in a row.
    """
    if len(sight.spans) == 0:
        k = layer[:, 0, :, : sight.length].index_select(0, sight.rows)  # (B, H, L, D)
        v = layer[:, 1, :, : sight.length].index_select(0, sight.rows)
        seen = torch.arange(sight.length, device=q.device) <= sight.positions[:, None]  # (B, L)
        return attend_range(q, k, v, seen[:, None, None])
    mixed: list[Tensor] = []
    for span in sight.spans:
        seen = layer[span.slot : span.slot + span.size, :, :, : span.length]
        mixed.append(attend_range(q[span.row : span.row + span.size], seen[:, 0], seen[:, 1], span.mask))
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed)
