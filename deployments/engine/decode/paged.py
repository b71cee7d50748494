"""Attention of one query per row over keys and values of 16 bits on a CPU, as weighted sums of rows of a table.

Such attention reads each key and value once, so that its time is that of reading memory. torch's kernels on a CPU
(scaled_dot_product_attention, bmm) do not benefit from 16 bits there, because they multiply matrices of one row. Its
embedding_bag does, and reads fp16 as fast as memory delivers it: scores are sums of key rows (one for each dimension of
a head, over the positions of a page) by the query, and results are sums of value rows (one for each position) by the
shares. Measured for 8 rows of 320 positions, 16 heads of 32 and 24 layers on one core (Zen 4): 24 ms for fp32
attention, 8 ms in this way.

A sum of rows depends on nothing but its own rows and weights, so that a row has the same bits in every batch. fp16 and
not bf16, because scores and shares are rounded to the type of the table; sums are fp32.
"""

from typing import NamedTuple

import torch
from torch import Tensor

PAGE = 64  # positions


class Pages(NamedTuple):
    """What the rows of a step write and read in every layer of a paged cache. B rows read M pages each.

    places: int64 (B, 2, H, D), where the new keys and values are in a flat layer; keys, values: int32 (B * M * H * D,)
    and (B * M * H * PAGE,), the rows of the tables in the order of memory; key_bags, value_bags: int32 (B * M * H,),
    where the sums begin; mask: float32 (B, 1, M, PAGE), 0 or -inf, added to the scores.
    """

    places: Tensor
    keys: Tensor
    key_bags: Tensor
    values: Tensor
    value_bags: Tensor
    mask: Tensor


def paged_shape(rows: int, context: int, heads: int, dim: int) -> tuple[int, ...]:
    """(2, rows, pages, H, D * PAGE): keys by dimension and position, values by position and dimension."""
    return 2, rows, -(-context // PAGE), heads, dim * PAGE


def fill_pages(layer: Tensor, rows: slice, k: Tensor, v: Tensor) -> None:
    """k, v: (T, H, D) for positions 0..T-1 of each of `rows`."""
    count = -(-k.shape[0] // PAGE)
    padding = (0, 0, 0, 0, 0, count * PAGE - k.shape[0])
    k, v = (torch.nn.functional.pad(part, padding).unflatten(0, (count, PAGE)) for part in (k, v))
    layer[0, rows, :count] = k.permute(0, 2, 3, 1).flatten(2).to(layer.dtype)
    layer[1, rows, :count] = v.transpose(1, 2).flatten(2).to(layer.dtype)


def pages_of(rows: Tensor, positions: Tensor, shape: tuple[int, ...], spare: int) -> Pages:
    """rows, positions: int64 (B,), each row's next position, which it sees too. shape: of a layer.

    spare: a row whose first page is read in place of the pages that a shorter row lacks, because it stays in the CPU's
    cache.
    """
    _, total, count, heads, width = shape
    dim = width // PAGE
    page, offset = positions // PAGE, positions % PAGE
    number = torch.arange(int(page.max()) + 1)  # (M,)
    own = torch.where(number <= page[:, None], rows[:, None] * count + number, spare * count)  # (B, M)

    head = ((rows * count + page)[:, None] * heads + torch.arange(heads))[:, :, None] * width  # (B, H, 1)
    dims = torch.arange(dim)
    places = torch.stack(
        [
            head + dims * PAGE + offset[:, None, None],
            total * count * heads * width + head + offset[:, None, None] * dim + dims,
        ],
        1,
    )

    def table_rows(size: int) -> tuple[Tensor, Tensor]:
        """size: table rows of a head in a page."""
        index = own.flatten()[:, None] * (heads * size) + torch.arange(heads * size)
        return index.flatten().int(), torch.arange(0, index.numel(), size, dtype=torch.int32)

    seen = number[:, None] * PAGE + torch.arange(PAGE) <= positions[:, None, None]  # (B, M, PAGE)
    mask = torch.where(seen, 0.0, float("-inf"))[:, None]
    return Pages(places, *table_rows(dim), *table_rows(PAGE), mask)


def write_pages(layer: Tensor, pages: Pages, kv: Tensor) -> None:
    """kv: (B, 2, H, D)"""
    layer.view(-1)[pages.places] = kv.to(layer.dtype)


def attend_pages(layer: Tensor, pages: Pages, q: Tensor) -> Tensor:
    """q: (B, H, D) -> (B, H, D) in its dtype."""
    rows, heads, dim = q.shape
    count, page = pages.mask.shape[2], pages.mask.shape[3]
    scaled = (q.float() * dim**-0.5).to(layer.dtype)
    scores = torch.embedding_bag(
        layer[0].view(-1, page),
        pages.keys,
        pages.key_bags,
        per_sample_weights=scaled.unsqueeze(1).expand(rows, count, heads, dim).reshape(-1),
    )[0]
    scores = scores.view(rows, count, heads, page).transpose(1, 2) + pages.mask  # (B, H, M, PAGE) fp32
    shares = scores.flatten(2).softmax(-1).to(layer.dtype).view(rows, heads, count, page)
    mixed = torch.embedding_bag(
        layer[1].view(-1, dim),
        pages.values,
        pages.value_bags,
        per_sample_weights=shares.transpose(1, 2).reshape(-1),
    )[0]
    return mixed.view(rows, count, heads, dim).float().sum(1).to(q.dtype)
