"""Rows have the same bits in every batch, which is the basis of reproducible seeds."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from deployments.engine import invariant
from deployments.engine.device.memory_report import held
from deployments.engine.invariant import Linear

SIZES = (1, 2, 3, 5, 7, 8, 14, 16, 31, 32, 33)
SHAPES = ((256, 768), (256, 1024), (1024, 256), (256, 1001), (192, 333))


pytestmark = pytest.mark.usefixtures("one_thread")


def layer(inputs, outputs, bf16):
    make = torch.Generator().manual_seed(inputs * outputs)
    weight = torch.randn(outputs, inputs, generator=make) * 0.05
    return weight.bfloat16().float() if bf16 else weight, torch.randn(outputs, generator=make)


@pytest.mark.parametrize(("inputs", "outputs"), SHAPES)
@pytest.mark.parametrize("form", ["packed", "padded"])
def test_a_linear_row_is_the_same_at_every_position_of_every_batch(inputs, outputs, form):
    weight, bias = layer(inputs, outputs, bf16=form == "packed")
    product = Linear(weight, bias)
    row = torch.randn(1, inputs, generator=torch.Generator().manual_seed(5))
    alone = product(row)
    assert alone.shape == (1, outputs)
    torch.testing.assert_close(alone, F.linear(row, weight, bias), rtol=1e-4, atol=1e-4)
    for rows in SIZES:
        others = torch.randn(rows, inputs, generator=torch.Generator().manual_seed(rows))
        for place in (0, rows // 2, rows - 1):
            batch = others.clone()
            batch[place] = row[0]
            assert torch.equal(product(batch)[place], alone[0]), (rows, place)


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bf16 on this CPU")
@pytest.mark.parametrize(("inputs", "outputs"), SHAPES)
def test_a_bf16_row_is_the_same_in_every_batch_and_nearly_what_torch_makes(inputs, outputs):
    weight, bias = (part.bfloat16() for part in layer(inputs, outputs, bf16=True))
    product = Linear(weight, bias, once=True)
    assert product.laid_out
    row = torch.randn(1, inputs, generator=torch.Generator().manual_seed(5)).bfloat16()
    alone = product(row)
    torch.testing.assert_close(alone, F.linear(row, weight, bias))
    for rows in (*SIZES, 72, 144):
        batch = torch.randn(rows, inputs, generator=torch.Generator().manual_seed(rows)).bfloat16()
        batch[rows // 2] = row[0]
        assert torch.equal(product(batch)[rows // 2], alone[0]), rows


def test_without_onednn_bf16_layers_are_plain(monkeypatch):
    monkeypatch.setattr(invariant, "lay_out", lambda weight: None)
    weight, bias = (part.bfloat16() for part in layer(64, 48, bf16=True))
    product, x = Linear(weight, bias, once=True), torch.ones(2, 64, dtype=torch.bfloat16)
    assert not product.laid_out
    assert torch.equal(product(x), F.linear(x, weight, bias))


def test_shapes_with_more_dimensions():
    weight, bias = layer(64, 48, bf16=True)
    x = torch.randn(3, 5, 64)
    torch.testing.assert_close(Linear(weight, bias)(x), F.linear(x, weight, bias), rtol=1e-4, atol=1e-4)


def test_only_persistent_weights_are_packed():
    weight, bias = layer(64, 32, bf16=True)
    huge = weight.clone()
    huge[0, 0] = 2.0**17
    assert not Linear(huge, bias).packed, "fp16 ends at 65504"
    assert not Linear(weight + 2.0**-20, bias).packed, "fp32 weights keep their precision"
    product = Linear(huge, bias)
    x = torch.ones(1, 64)
    torch.testing.assert_close(product(x), F.linear(x, huge, bias))


def test_a_formulation_that_is_not_invariant_here_is_not_used(monkeypatch):
    weight, bias = layer(64, 40, bf16=True)
    monkeypatch.setattr(invariant, "_holds", lambda product, blocks, inputs: blocks is invariant.SINGLE)
    invariant._blocks_of.cache_clear()
    try:
        product = Linear(weight, bias)
        assert (product.row_multiple, product.most_rows) == (1, 1)
        assert not product.packed
        x = torch.randn(5, 64)
        torch.testing.assert_close(product(x), F.linear(x, weight, bias), rtol=1e-4, atol=1e-4)
    finally:
        invariant._blocks_of.cache_clear()


def test_the_probe_distinguishes_invariant_products():
    def by_size(x):
        return x[:, :4] * (1 + 1e-7 * (x.shape[0] > 8))

    assert not invariant._holds(by_size, invariant.PADDED, 16)
    assert invariant._holds(lambda x: x[:, :4], invariant.PADDED, 16)


def test_the_probe_distinguishes_invariant_attention(monkeypatch):
    def alone(q, keys, values, mask):
        """Row by row, over the unmasked positions only."""
        rows = []
        for b in range(q.shape[0]):
            length = int((mask[b, 0, 0] == 0).sum())
            scores = torch.einsum("hd,hld->hl", q[b], keys[b, :, :length])
            rows.append(torch.einsum("hl,hld->hd", scores.softmax(-1), values[b, :, :length]))
        return torch.stack(rows)

    def by_size(q, keys, values, mask):
        return alone(q, keys, values, mask) * (1 + 1e-6 * (q.shape[0] > 7))

    def by_length(q, keys, values, mask):
        return alone(q, keys, values, mask) * (1 + 1e-6 * (keys.shape[2] > 500))

    try:
        for attend, holds in ((alone, True), (by_size, False), (by_length, False)):
            invariant._masked_attention_holds.cache_clear()
            monkeypatch.setattr(invariant, "attend_range", attend)
            assert invariant.masked_attention_holds(4, 16) is holds, attend.__name__
    finally:
        invariant._masked_attention_holds.cache_clear()


def test_probe_results_are_cached_by_the_number_of_threads(monkeypatch):
    asked = []
    monkeypatch.setattr(
        invariant,
        "_masked_attention_holds",
        lambda heads, dim, queries, threads: asked.append(threads) or True,
    )
    for threads in (1, 2):
        torch.set_num_threads(threads)
        assert invariant.masked_attention_holds(4, 16)
    assert asked == [1, 2]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.layer_norm(x, (x.shape[-1],)),
        lambda x: x.softmax(-1),
        F.gelu,
        F.silu,
        lambda x: x.cumsum(-1),
        lambda x: x.argmax(-1),
    ],
)
def test_elementwise_functions_of_a_step_are_invariant(function):
    row = torch.randn(1, 256, generator=torch.Generator().manual_seed(6))
    for rows in SIZES:
        batch = torch.randn(rows, 256)
        batch[rows // 2] = row[0]
        assert torch.equal(function(batch)[rows // 2], function(row)[0])


def test_laid_out_weights_are_in_the_memory_report():
    product = Linear(torch.zeros(32, 16, dtype=torch.bfloat16), once=True)
    assert held([product])["weights_bytes"] == 32 * 16 * 2
