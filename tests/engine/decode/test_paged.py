"""Attention over pages of fp16 keys and values, against attention in fp32 and against itself in other batches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deployments.engine.decode.kv_cache import KVCache
from deployments.engine.decode.paged import PAGE

CONTEXT, HEADS, DIM, SLOTS = 4 * PAGE + 10, 4, 16, 9
LASTS = (0, 1, PAGE - 1, PAGE, 2 * PAGE + 5, CONTEXT - 1)  # positions that a row sees last


@pytest.fixture
def content() -> tuple[Tensor, Tensor]:
    """Keys and values of every slot (SLOTS, CONTEXT, H, D), as fp16 holds them."""
    make = torch.Generator().manual_seed(1)
    k, v = (torch.randn(SLOTS, CONTEXT, HEADS, DIM, generator=make).half().float() for _ in range(2))
    return k, v


def cache_of(content: tuple[Tensor, Tensor], lasts: dict[int, int], lanes: int = 1) -> KVCache:
    """A cache whose slots have been filled up to their last position, which is written by a step."""
    cache = KVCache(1, SLOTS, HEADS, CONTEXT, DIM, torch.float16, torch.device("cpu"), lanes)
    assert cache.paged
    k, v = content
    for slot, last in lasts.items():
        cache.fill(0, slot, k[slot, :last], v[slot, :last])
        cache.set_length(slot, last)
    rows = torch.tensor(list(lasts))
    places = torch.tensor(list(lasts.values()))
    cache.write(0, rows, torch.stack((k[rows, places], v[rows, places]), 1))
    return cache


def attended(content: tuple[Tensor, Tensor], lasts: dict[int, int], q: Tensor) -> Tensor:
    """q (SLOTS, H, D) of the slots in `lasts`, together."""
    rows = torch.tensor(list(lasts))
    return cache_of(content, lasts).attend(0, q[rows], rows, CONTEXT)


@pytest.mark.parametrize("last", LASTS)
def test_a_row_attends_to_exactly_what_was_written(content, last):
    q = torch.randn(SLOTS, HEADS, DIM)
    k, v = (part[3, : last + 1] for part in content)
    scores = torch.einsum("hd,thd->ht", q[3], k) / DIM**0.5
    expected = torch.einsum("ht,thd->hd", scores.softmax(-1), v)
    torch.testing.assert_close(attended(content, {3: last}, q)[0], expected, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_has_the_same_bits_in_every_batch_and_place(content, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        q = torch.randn(SLOTS, HEADS, DIM)
        for number, last in enumerate(LASTS):
            alone = attended(content, {3: last}, q)[0]
            for others in ({0: 5}, {8: CONTEXT - 1, 4: PAGE}, {n: 30 * n for n in range(SLOTS) if n != 3}):
                items = list(others.items())
                items.insert(number % (len(items) + 1), (3, last))
                mixed = attended(content, dict(items), q)
                assert torch.equal(mixed[[slot for slot, _ in items].index(3)], alone), (last, items)
    finally:
        torch.set_num_threads(before)


def test_lanes_share_the_prefix(content):
    cache = cache_of(content, {2: 70}, lanes=2)
    k, v = content
    other = torch.tensor([2 + SLOTS + 1])
    cache.write(0, other, torch.stack((k[other - SLOTS - 1, 70], v[other - SLOTS - 1, 70]), 1))
    q = torch.randn(1, HEADS, DIM)
    own, same = (cache.attend(0, q, rows, CONTEXT) for rows in (torch.tensor([2]), other))
    assert torch.equal(own, same)


def test_a_wiped_slot_is_finite(content):
    bad = (torch.full_like(content[0], float("nan")), content[1])
    cache = cache_of(bad, {1: PAGE + 3, 2: 4})
    cache.wipe(1)
    cache.wipe(2)
    assert not cache.layers[0].any() and not cache.positions.any()


def test_surplus_pages_of_a_short_row_do_not_read_other_slots(content):
    """A short row beside a long one: what lies behind its end, finite or not, has no effect."""
    q = torch.randn(SLOTS, HEADS, DIM)
    lasts = {1: 10, 2: CONTEXT - 1}
    cache = cache_of(content, lasts)
    rows = torch.tensor([1, 2])
    before = cache.attend(0, q[rows], rows, CONTEXT)
    cache.layers[0][:, 1, 1:] = float("nan")
    assert torch.equal(cache.attend(0, q[rows], rows, CONTEXT), before)


def test_other_caches_have_no_pages():
    for dtype, queries in ((torch.float32, 1), (torch.bfloat16, 1), (torch.float16, 2)):
        cache = KVCache(1, 2, HEADS, 64, DIM, dtype, torch.device("cpu"), queries=queries)
        assert not cache.paged
