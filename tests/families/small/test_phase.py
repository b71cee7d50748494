from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from deployments.families.small.phase import QUIET, carried_phases, restarts

rows = st.lists(st.tuples(st.booleans(), st.floats(0, 100)), min_size=1, max_size=9)


def test_the_phase_restarts_after_unvoiced_frames() -> None:
    voiced = np.array([1, 1, *[0] * QUIET, 0, 1, *[0] * (QUIET - 1), 1, *[0] * QUIET], np.float32)
    padded = np.concatenate([np.zeros(QUIET, np.float32), voiced])
    last = len(voiced) - 1
    assert np.flatnonzero(restarts(padded)).tolist() == [1 + QUIET, 2 + QUIET, last]
    assert restarts(torch.from_numpy(padded)).tolist() == restarts(padded).tolist()


def test_frames_before_a_segment_are_unvoiced() -> None:
    voiced = np.array([0, 0, 1, 0], np.float32)
    padded = np.concatenate([np.zeros(QUIET, np.float32), voiced])
    assert np.flatnonzero(restarts(padded)).tolist() == [0, 1]


@given(rows=rows, others=rows, phase=st.floats(0, 0.99))
def test_chained_rows_of_a_batch_equal_sequential_calls(
    rows: list[tuple[bool, float]], others: list[tuple[bool, float]], phase: float
) -> None:
    """Two utterances in one batch, the second with another phase."""
    both, (first, second) = [*rows, *others], (len(rows), len(others))
    chain = np.zeros((first + second, first + second))
    chain[:first, :first], chain[first:, first:] = np.tri(first, k=-1), np.tri(second, k=-1)
    restarted, passed = (np.array(column) for column in zip(*both, strict=True))
    phases = np.repeat([phase, 0.25], [first, second])
    begun = carried_phases(phases, chain, restarted, passed)

    expected = []
    for index, (again, cycles) in enumerate(both):
        if index in (0, first):
            at = phases[index]
        expected.append(at)
        at = (cycles if again else at + cycles) % 1.0
    np.testing.assert_allclose(
        np.exp(2j * np.pi * begun), np.exp(2j * np.pi * np.array(expected)), atol=1e-10
    )
    tensors = carried_phases(*(torch.from_numpy(array) for array in (phases, chain, restarted, passed)))
    np.testing.assert_allclose(tensors.numpy(), begun, atol=1e-12)
