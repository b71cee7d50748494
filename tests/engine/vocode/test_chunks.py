from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.contract.family import FamilySpec
from deployments.contract.speech import VocoderChunk, VoicePrompt
from deployments.engine.vocode.chunks import Chunker, cut, cut_again


def spec(left=18, right=18):
    return FamilySpec("test", 16000, 50.0, 320, left, right, ("en",), 1500, 1.0, 30.0)


def sizes(pieces):
    return [len(piece.frames) - piece.left - piece.right for piece in pieces]


runs_of_codes = st.lists(st.integers(0, 70), max_size=25)
contexts = st.integers(0, 30)


@given(
    runs=runs_of_codes, left=contexts, right=contexts, first=st.integers(1, 20), maximum=st.integers(20, 60)
)
def test_pieces_tile_the_codes_with_their_context_in_bounded_memory(runs, left, right, first, maximum):
    codes = np.arange(sum(runs))
    chunker = Chunker(spec(left, right), first, 2.0, maximum)
    pieces, at = [], 0
    for run in runs:
        fresh = chunker.push(codes[at : at + run])
        at += run
        assert all(piece.right == right for piece in fresh), "a piece waits for its context"
        assert all(piece.first + len(piece.frames) <= at for piece in fresh)
        pieces += fresh
        assert chunker.held <= left + maximum + right
    pieces += chunker.finish()
    assert chunker.held == 0

    tiled = [piece.frames[piece.left : len(piece.frames) - piece.right] for piece in pieces]
    np.testing.assert_array_equal(np.concatenate([codes[:0], *tiled]), codes)
    for piece in pieces:
        start = piece.first + piece.left
        end = start + len(piece.frames) - piece.left - piece.right
        assert piece.left == min(left, start)
        assert piece.right == min(right, len(codes) - end)
        np.testing.assert_array_equal(piece.frames, codes[piece.first : piece.first + len(piece.frames)])
    assert all(1 <= size <= maximum + first for size in sizes(pieces))


@given(runs=runs_of_codes)
def test_chunks_do_not_depend_on_how_the_codes_arrive(runs):
    codes = np.arange(sum(runs))
    whole, parts = Chunker(spec()), Chunker(spec())
    expected = whole.push(codes) + whole.finish()
    found, at = [], 0
    for run in runs:
        found += parts.push(codes[at : at + run])
        at += run
    found += parts.finish()
    assert [(p.first, p.left, p.right, len(p.frames)) for p in found] == [
        (p.first, p.left, p.right, len(p.frames)) for p in expected
    ]


def test_the_first_piece_comes_with_28_codes_and_the_pieces_grow():
    chunker = Chunker(spec())
    assert chunker.push(np.arange(27)) == []
    (first,) = chunker.push(np.arange(27, 28))
    assert (first.left, first.right, first.first, len(first.frames)) == (0, 18, 0, 28)
    rest = chunker.push(np.arange(28, 500)) + chunker.finish()
    assert sizes(rest) == [20, 40, 80, 100, 100, 100, 50]


def test_the_last_chunk_is_not_tiny():
    chunker = Chunker(spec(), first=10, maximum=10)
    chunker.push(np.arange(23))
    assert sizes(chunker.finish()) == [10, 13]


def test_codes_with_a_shape():
    chunker = Chunker(spec(2, 2), first=3, maximum=6)
    pieces = chunker.push(np.arange(40).reshape(10, 4)) + chunker.finish()
    assert all(piece.frames.shape[1] == 4 for piece in pieces)
    assert sizes(pieces) == [3, 7]


def test_an_empty_segment_has_no_chunk_and_nothing_follows_the_end():
    chunker = Chunker(spec())
    assert chunker.push(np.arange(0)) == []
    assert chunker.finish() == []
    with pytest.raises(ValueError, match="after the end"):
        chunker.push(np.arange(1))


@pytest.mark.parametrize("schedule", [(0, 2.0, 10), (5, 0.5, 10), (20, 2.0, 10)])
def test_an_invalid_schedule_is_refused(schedule):
    with pytest.raises(ValueError, match="schedule"):
        Chunker(spec(), *schedule)


@given(
    count=st.integers(1, 300),
    outer=st.tuples(st.integers(0, 18), st.integers(0, 18)),
    context=st.tuples(contexts, contexts),
    most=st.integers(1, 120),
)
def test_a_long_run_is_tiled_by_chunks_with_all_available_context(count, outer, context, most):
    (left, right), total = outer, count + sum(outer)
    frames = np.arange(100, 100 + total)
    state = {"phase": np.float64(0.5)}
    run = VocoderChunk(frames, left, right, 100, VoicePrompt.of("test", {}), 7, state)
    chunks = cut(run, spec(*context), most)

    own = [chunk.frames[chunk.left : len(chunk.frames) - chunk.right] for chunk in chunks]
    np.testing.assert_array_equal(np.concatenate(own), frames[left : left + count])
    assert len(chunks) == -(-count // most)
    assert max(map(len, own)) <= min(most, min(map(len, own)) + 1)
    for chunk in chunks:
        assert chunk.first == chunk.frames[0]
        whole = len(chunks) == 1
        begin, end = chunk.first - 100 + chunk.left, chunk.first - 100 + len(chunk.frames) - chunk.right
        assert chunk.left == (left if whole else min(context[0], begin))
        assert chunk.right == (right if whole else min(context[1], total - end))
        assert (chunk.seed, chunk.prompt) == (7, run.prompt)
        assert np.shares_memory(chunk.frames, frames)
    assert [chunk.state for chunk in chunks] == [state] + [None] * (len(chunks) - 1)


@given(cuts=st.lists(st.integers(1, 49), unique=True).map(sorted), context=st.tuples(contexts, contexts))
def test_repeated_work_is_cut_where_it_was(cuts, context):
    run = VocoderChunk(np.arange(50), 0, 0, 0, VoicePrompt.of("test", {}), 7, cuts=tuple(cuts))
    chunks = cut_again(run, spec(*context))
    ends = [chunk.first + len(chunk.frames) - chunk.right for chunk in chunks]
    assert ends == [*cuts, 50]
    own = [chunk.frames[chunk.left : len(chunk.frames) - chunk.right] for chunk in chunks]
    np.testing.assert_array_equal(np.concatenate(own), run.frames)
    assert not any(chunk.cuts for chunk in chunks)
