from __future__ import annotations

import pytest
import torch

from deployments.engine.kv_cache import KVCache


@pytest.fixture
def cache():
    return KVCache(2, 3, 4, 32, 16, torch.float32, torch.device("cpu"))


def test_bytes_are_those_of_all_slots_and_the_scratch_one(cache):
    assert cache.bytes == 2 * (2 * 4 * 4 * 32 * 16) * 4 + 4 * 8


def test_fill_then_write_then_attend_sees_exactly_what_was_written(cache):
    k, v = torch.randn(5, 4, 16), torch.randn(5, 4, 16)
    cache.fill(1, 2, k[:4], v[:4])
    cache.set_length(2, 4)
    rows = torch.tensor([2, 3])  # a sequence, and scratch
    cache.write(1, rows, torch.stack([k[4], k[4]]), torch.stack([v[4], v[4]]))
    q = torch.randn(2, 4, 16)
    found = cache.attend(1, q, rows, 64)
    scores = torch.einsum("hd,thd->ht", q[0], k) / 4.0
    torch.testing.assert_close(
        found[0], torch.einsum("ht,thd->hd", scores.softmax(-1), v), rtol=1e-4, atol=1e-5
    )
    assert cache.keys[0].count_nonzero() == 0, "another layer"


def test_advance_moves_the_rows_and_never_the_scratch_slot(cache):
    cache.set_length(0, 7)
    cache.advance(torch.tensor([0, 3, 3, 3]))
    assert cache.positions.tolist() == [8, 0, 0, 0]
    cache.reset(0)
    assert cache.positions.tolist() == [0, 0, 0, 0]
