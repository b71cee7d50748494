from __future__ import annotations

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
