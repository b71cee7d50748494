from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deployments import families
from deployments.contract.errors import DoesNotFit
from deployments.engine.vocode.schedule import ChunkSchedule

SPEC = families.load("small").spec


def test_every_run_completes_a_chunk():
    for schedule in (ChunkSchedule(), ChunkSchedule(3, 1.5, 40), ChunkSchedule.of(SPEC, 500, "whole", 1.0)):
        chunker, sent, size = schedule.chunker(SPEC), 0, schedule.first
        ends = schedule.run_ends(SPEC, 1000)
        assert ends[-2] < 1000 <= ends[-1]
        for end in ends:
            assert chunker.push(np.zeros(end - sent - 1, np.int64)) == []
            (piece,) = chunker.push(np.zeros(1, np.int64))
            assert len(piece.frames) - piece.left - piece.right >= size
            sent, size = end, len(piece.frames) - piece.left - piece.right
        assert size == schedule.maximum


def test_whole_means_the_longest_chunk():
    schedule = ChunkSchedule.of(SPEC, 500, "whole", 3.0)
    assert schedule.first == schedule.maximum == round(5 * SPEC.codes_per_second)
    assert ChunkSchedule.of(SPEC, 200) == ChunkSchedule(10, 2.0, 100)


def test_a_first_chunk_beyond_the_longest_is_refused():
    with pytest.raises(DoesNotFit, match=r"101 codes .*1 to 100, or whole \(200 frames"):
        ChunkSchedule.of(SPEC, 200, 101)
    assert ChunkSchedule.of(SPEC, 200, 100).first == 100


def test_a_family_that_is_vocoded_whole_has_one_chunk_for_each_segment():
    spec = replace(SPEC, chunking="whole", left_context=0, right_context=0)
    for schedule in (
        ChunkSchedule.of(spec, 500),
        ChunkSchedule.of(spec, 20, "whole"),
        ChunkSchedule.of(spec, 20, 500),
    ):
        assert schedule.run_ends(spec, 2000)[0] > 100_000, "the GPT sends nothing before the end"
        chunker = schedule.chunker(spec)
        assert not [piece for _ in range(50) for piece in chunker.push(np.zeros(40, np.int64))]
        (piece,) = chunker.finish()
        assert (len(piece.frames), piece.left, piece.right, piece.first) == (2000, 0, 0, 0)
    assert ChunkSchedule.longest(spec, 20) == spec.max_tokens
