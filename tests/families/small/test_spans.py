from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from deployments.families.small.config import SmallConfig
from deployments.families.small.spans import BEFORE, BEHIND, Extent, Plan, rows

CONFIG = SmallConfig()
LEFT, RIGHT = CONFIG.left_context, CONFIG.right_context


def plan(chunks: list[Extent]) -> Plan:
    reaches = (CONFIG.code_kernel // 2, CONFIG.code_blocks, CONFIG.frame_kernel // 2, CONFIG.frame_blocks)
    return Plan.of(chunks, *reaches, CONFIG.frames_per_code)


def test_an_inner_chunk_takes_the_whole_context_and_each_layer_less() -> None:
    of = plan([Extent(LEFT, 10, RIGHT)])
    codes, frames = [(layer[0].start, layer[0].stop) for layer in of.codes], [layer[0] for layer in of.frames]
    assert codes[0] == (-LEFT, 10 + RIGHT)
    assert (frames[-1].start, frames[-1].stop) == (-BEFORE, 20 + BEHIND)
    sizes = [layer[0].size for layer in of.codes], [span.size for span in frames]
    assert all(size == sorted(size, reverse=True) for size in sizes)


def test_a_whole_utterance_is_computed_once_and_nothing_beside_it() -> None:
    of = plan([Extent(0, 10, 0)])
    assert {(layer[0].start, layer[0].stop) for layer in of.codes} == {(0, 10)}
    assert {(layer[0].start, layer[0].stop) for layer in of.frames} == {(0, 20)}


extents = st.builds(Extent, st.integers(0, LEFT), st.integers(1, 60), st.integers(0, RIGHT))


@given(chunks=st.lists(extents, min_size=1, max_size=6))
def test_every_layer_finds_what_it_reads_and_rows_lie_one_behind_the_other(chunks: list[Extent]) -> None:
    of = plan(chunks)
    assert (len(of.codes), len(of.frames)) == (CONFIG.code_blocks + 1, CONFIG.frame_blocks + 1)
    for layers, reach, rate in ((of.codes, 2, 1), (of.frames, 3, CONFIG.frames_per_code)):
        for before, after in pairwise(layers):
            for chunk, have, want in zip(chunks, before, after, strict=True):
                first, last = -chunk.left * rate, (chunk.count + chunk.right) * rate
                assert first <= have.start <= max(first, want.start - reach)
                assert last >= have.stop >= min(last, want.stop + reach)
        for layer in layers:
            assert [span.row for span in layer] == [
                sum(span.size for span in layer[:index]) for index in range(len(layer))
            ]
            assert rows(layer) == sum(span.size for span in layer)
    for code, frame in zip(of.codes[-1], of.frames[0], strict=True):
        assert (frame.start, frame.stop) == (2 * code.start, 2 * code.stop)
