from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from deployments.families.small.config import SmallConfig
from deployments.families.small.spans import AFTER, BEFORE, Extent, Plan, Span, TrunkShape

CONFIG = SmallConfig()
LEFT, RIGHT = CONFIG.left_context, CONFIG.right_context

TRUNK = TrunkShape(CONFIG.code_reach, CONFIG.frame_reach, CONFIG.frames_per_code)
REACH = (
    *TRUNK.code_reach,
    (0, 0),
    *TRUNK.frame_reach,
)  # of the operations that produce layer 1 and later ones
RATES = [1] * TRUNK.upsampled + [TRUNK.rate] * (len(TRUNK.frame_reach) + 1)


def test_an_inner_chunk_uses_the_whole_context_and_each_layer_less() -> None:
    layers = [(layer[0].start, layer[0].stop) for layer in Plan.of([Extent(LEFT, 10, RIGHT)], TRUNK).have]
    assert layers[0] == (-LEFT, 10 + RIGHT)
    assert layers[-1] == (-BEFORE, 20 + AFTER)
    for part in (layers[: TRUNK.upsampled], layers[TRUNK.upsampled :]):
        sizes = [stop - start for start, stop in part]
        assert sizes == sorted(sizes, reverse=True)


def test_a_whole_utterance_is_computed_once_without_context() -> None:
    layers = Plan.of([Extent(0, 10, 0)], TRUNK).have
    assert [(layer[0].start, layer[0].stop) for layer in layers] == [(0, 10 * rate) for rate in RATES]


extents = st.builds(Extent, st.integers(0, LEFT), st.integers(1, 60), st.integers(0, RIGHT))


@given(chunks=st.lists(extents, min_size=1, max_size=6))
def test_every_layer_has_its_inputs_and_rows_are_consecutive(chunks: list[Extent]) -> None:
    of = Plan.of(chunks, TRUNK)
    assert len(of.have) == len(of.made) == len(RATES)
    for layer in (*of.have, *of.made):
        assert [span.row for span in layer] == [
            sum(span.size for span in layer[:index]) for index in range(len(layer))
        ]
        assert layer[-1].row + layer[-1].size == sum(span.size for span in layer)
    for chunk, spans in zip(chunks, zip(*of.have, strict=True), strict=True):
        finds_what_it_reads(chunk, list(spans))


def finds_what_it_reads(chunk: Extent, spans: list[Span]) -> None:
    """Each computed step of a chunk has its inputs in the layer before, except at the ends of the segment."""
    for layer, (before, after) in enumerate(pairwise(spans), start=1):
        begin = after.start + after.kept
        if layer == TRUNK.upsampled:
            assert (begin, after.stop) == (TRUNK.rate * before.start, TRUNK.rate * before.stop)
        elif begin < after.stop:
            past, future = REACH[layer - 1]
            first, last = -chunk.left * RATES[layer], (chunk.count + chunk.right) * RATES[layer]
            assert first <= before.start <= max(first, begin - past)
            assert last >= before.stop >= min(last, after.stop + future)
    assert spans[-1].start == max(-BEFORE, -chunk.left * TRUNK.rate)


@given(sizes=st.lists(st.integers(1, 40), min_size=2, max_size=8), rest=st.integers(0, RIGHT))
def test_a_stream_computes_every_step_once_and_reuses_kept_ones(sizes: list[int], rest: int) -> None:
    """rest: codes of the segment's last chunk."""
    sizes[-1] = max(1, rest)
    behind = [min(RIGHT, sum(sizes[index + 1 :])) for index in range(len(sizes))]
    made = [0] * len(RATES)
    ahead, ready = None, [0] * len(RATES)
    for index, (count, right) in enumerate(zip(sizes, behind, strict=True)):
        passed = sum(sizes[:index])
        chunk = Extent(min(LEFT, passed), count, right, ahead)
        spans = [layer[0] for layer in Plan.of([chunk], TRUNK).have]
        finds_what_it_reads(chunk, spans)
        assert [span.kept for span in spans] == ready
        for layer, (span, rate) in enumerate(zip(spans, RATES, strict=True)):
            if layer:  # the first layer is not kept
                assert span.start + span.kept + passed * rate == made[layer]
            made[layer] = span.stop + passed * rate
        ready = TRUNK.kept(right, chunk.left + count)
        assert all(kept <= span.size for kept, span in zip(ready, spans, strict=True))
        ahead = right
    assert made == [sum(sizes) * rate for rate in RATES]
