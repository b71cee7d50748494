"""Models of other shapes in the same decoder: continuous codes, and fewer heads of keys and values than of queries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deployments.contract.work import WorkItem
from deployments.engine.decode import Decoder
from tests.engine.conftest import a_request, collect, decode, drain
from tests.tiny.gpt import PATCH, TinyGpt, TinyPatchGpt

CONTEXT = 160
MODELS = {
    "patches": (TinyPatchGpt, 4),
    "patches of two KV heads": (TinyPatchGpt, 2),
    "two KV heads": (TinyGpt, 2),
    "one KV head": (TinyGpt, 1),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def make(request, cpu):
    kind, heads = request.param
    return lambda slots=8: Decoder(
        kind(slots, CONTEXT, cpu.torch_device, heads), cpu, emit_at=(6,), emit_every=4, read_late=True
    )


def test_a_sequence_is_the_same_bit_for_bit_alone_and_among_others(on, make):
    alone = on(lambda: {n: decode(make(), {n: a_request(i)})[n] for i, n in enumerate("abcdefgh")})
    together = on(lambda: decode(make(), {n: a_request(i) for i, n in enumerate("abcdefgh")}))
    for name, codes in alone.items():
        assert np.array_equal(together[name], codes), name
    assert len({codes.tobytes() for codes in alone.values()}) == 8
    assert max(len(codes) for codes in alone.values()) > 20


@pytest.mark.parametrize("known", [1, 7])
def test_a_sequence_continues_behind_its_prefix_bit_for_bit(on, make, known):
    request = a_request(3)
    whole = on(lambda: decode(make(), {"a": request}))["a"]
    assert len(whole) > known
    others = {name: a_request(i) for i, name in enumerate("bcd")}
    resumed = replace(request, prefix=whole[:known])
    rest = on(lambda: decode(make(), {"a": resumed, **others}))["a"]
    assert np.array_equal(np.concatenate((whole[:known], rest)), whole)


def test_a_patch_that_is_not_finite_fails_its_own_sequence(on, cpu):
    def run():
        model = TinyPatchGpt(4, CONTEXT, cpu.torch_device)
        decoder = Decoder(model, cpu, emit_at=(6,), emit_every=4)
        for index, name in enumerate("ab"):
            decoder.admit(WorkItem(name, a_request(index)))
        events = [*decoder.step(), *decoder.step(), *decoder.step()]
        model.patches[0, 1, 3] = float("nan")
        return events + drain(decoder), decode(decoder, {"c": a_request(2)})

    events, later = on(run)
    (failure,) = [event for event in events if event.error is not None]
    assert failure.id == "a"
    assert "NaN or Inf" in failure.error.message
    expected = on(
        lambda: decode(Decoder(TinyPatchGpt(4, CONTEXT, cpu.torch_device), cpu), {"b": a_request(1)})
    )
    others = collect([event for event in events if event.id == "b"])
    assert np.array_equal(others["b"], expected["b"])
    assert later["c"].shape[1:] == PATCH
    assert np.isfinite(later["c"]).all(), "the slot of the one that failed is clean"
