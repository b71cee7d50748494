from __future__ import annotations

import pytest
import torch

from deployments.engine.decode.kv_cache import KVCache


@pytest.fixture
def cache():
    return KVCache(2, 3, 4, 32, 16, torch.float32, torch.device("cpu"))


def test_bytes_include_all_slots_and_the_scratch_slot(cache):
    assert cache.bytes == 2 * (2 * 4 * 4 * 32 * 16) * 4 + 4 * 8


def test_attention_sees_exactly_what_was_written(cache):
    k, v = torch.randn(5, 4, 16), torch.randn(5, 4, 16)
    cache.fill(1, 2, k[:4], v[:4])
    cache.set_length(2, 4)
    rows = torch.tensor([2, 3])  # a sequence and the scratch slot
    cache.write(1, rows, torch.stack([k[4], v[4]]).expand(2, 2, 4, 16))
    q = torch.randn(2, 4, 16)
    found = cache.attend(1, q, rows, 64)
    scores = torch.einsum("hd,thd->ht", q[0], k) / 4.0
    torch.testing.assert_close(
        found[0], torch.einsum("ht,thd->hd", scores.softmax(-1), v), rtol=1e-4, atol=1e-5
    )
    assert cache.layers[0].count_nonzero() == 0, "another layer"


def test_advance_moves_the_rows_but_never_the_scratch_slot(cache):
    cache.set_length(0, 7)
    cache.advance(torch.tensor([0, 3, 3, 3]))
    assert cache.positions.tolist() == [8, 0, 0, 0]
    cache.set_length(0, 0)
    assert cache.positions.tolist() == [0, 0, 0, 0]


def filled(slots=9, heads=4, context=200, width=16, together=True, queries=1):
    """A cache with random content, and its keys and values: (slots + 1, H, C, D) each."""
    cache = KVCache(1, slots, heads, context, width, torch.float32, torch.device("cpu"), queries=queries)
    cache._together &= together
    make = torch.Generator().manual_seed(3)
    cache.layers[0].copy_(torch.randn(cache.layers[0].shape, generator=make))
    return cache, *cache.layers[0].unbind(1)


def attend_at(cache, q, slots, lasts):
    """Attention of queries (B, H, D) over positions 0..last of their slots."""
    for slot, last in zip(slots, lasts, strict=True):
        cache.set_length(slot, last)
    return cache.attend(0, q, torch.tensor(slots), cache.context)


def test_attention_is_a_softmax_over_the_positions_so_far():
    cache, keys, values = filled()
    q = torch.randn(3, 4, 16)
    slots, lasts = [1, 2, 4], [0, 33, 199]
    found = attend_at(cache, q, slots, lasts)
    for b, (slot, last) in enumerate(zip(slots, lasts, strict=True)):
        scores = torch.einsum("hd,htd->ht", q[b], keys[slot, :, : last + 1]) / 4.0
        expected = torch.einsum("ht,htd->hd", scores.softmax(-1), values[slot, :, : last + 1])
        torch.testing.assert_close(found[b], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("heads", [4, 2, 1])
def test_attention_of_a_row_does_not_depend_on_batch_lengths_or_slot(one_thread, threads, together, heads):
    torch.set_num_threads(threads)
    cache, keys, values = filled(together=together, heads=heads, queries=4 // heads)
    keys[6], values[6] = keys[2], values[2]
    q = torch.randn(8, 4, 16, generator=torch.Generator().manual_seed(4))
    alone = attend_at(cache, q[3:4], [2], [70])[0]
    for slots, lasts in (
        ([0, 1, 3, 2, 4, 5, 7, 8], [5, 199, 64, 70, 0, 63, 150, 1]),
        ([0, 1, 3, 6, 4, 5, 7, 8], [5, 199, 64, 70, 0, 63, 150, 1]),
        ([3, 4, 5, 6, 7, 8], [3, 3, 1, 70, 100, 80]),
        ([1, 4, 5, 2, 3], [3, 3, 1, 70, 71]),
    ):
        place = lasts.index(70)
        batch = torch.randn(len(slots), 4, 16)
        batch[place] = q[3]
        assert torch.equal(attend_at(cache, batch, slots, lasts)[place], alone), slots


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("heads", [4, 2, 1])
def test_query_heads_share_keys_and_values_as_if_those_were_repeated(one_thread, heads, static):
    few, keys, values = filled(heads=heads, queries=4 // heads)
    many, all_keys, all_values = filled(heads=4)
    all_keys.copy_(keys.repeat_interleave(4 // heads, 1))
    all_values.copy_(values.repeat_interleave(4 // heads, 1))
    few.static = many.static = static  # as graphs attend
    q, slots, lasts = torch.randn(3, 4, 16), [1, 2, 4], [0, 33, 199]
    found, expected = (attend_at(cache, q, slots, lasts) for cache in (few, many))
    if heads == 4:
        assert torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_adjacent_slots_are_attended_in_one_call_and_indexed_as_a_range(one_thread, cache):
    if not cache._together:
        pytest.skip("rows are attended to one by one on this machine")
    for slot in range(3):
        cache.set_length(slot, 5)
    assert cache.index(torch.tensor([0, 1, 2])) == slice(0, 3)
    scattered = torch.tensor([0, 2])
    assert cache.index(scattered) is scattered
    assert [(s.row, s.slot, s.size) for s in cache.plan(scattered).ranges] == [(0, 0, 1), (1, 2, 1)]


def test_a_wiped_slot_is_finite(cache):
    cache.fill(0, 1, torch.full((3, 4, 16), float("nan")), torch.ones(3, 4, 16))
    cache.set_length(1, 3)
    cache.wipe(1)
    assert not cache.layers[0].any() and cache.positions[1] == 0
