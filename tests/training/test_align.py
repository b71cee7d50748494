"""The most likely path through the phones of a text."""

from __future__ import annotations

import numpy as np

from training.align import SIGNS, ends_of, path

PAUSE = int(SIGNS[0])


def heard(*runs: tuple[int, int]) -> np.ndarray:
    """Nearly certain log probabilities (T, 300). runs: (phone, steps)."""
    sure = np.full((sum(steps for _, steps in runs), 300), -8.0)
    at = 0
    for phone, steps in runs:
        sure[at : at + steps, phone] = -0.01
        at += steps
    return sure


def test_every_phone_is_aligned_to_its_sound():
    where, score = path(heard((PAUSE, 3), (7, 4), (9, 1), (PAUSE, 2)), np.array([PAUSE, 7, 9, PAUSE]))
    assert where.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 3, 3]
    assert score > -0.02
    assert ends_of(where, 4, 0.02).tolist() == [0.06, 0.14, 0.16, 0.2]


def test_a_pause_without_silence_is_skipped():
    phones = np.array([PAUSE, 7, PAUSE, 9, PAUSE])
    where, score = path(heard((PAUSE, 2), (7, 3), (9, 3), (PAUSE, 2)), phones)
    assert where.tolist() == [0, 0, 1, 1, 1, 3, 3, 3, 4, 4]
    assert score > -0.02
    assert (np.diff(ends_of(where, 5, 0.02)) > 0).all()


def test_another_text_scores_badly():
    phones = np.array([PAUSE, 7, 9, PAUSE])
    _, score = path(heard((PAUSE, 2), (30, 6), (PAUSE, 2)), phones)
    assert score < -3
    _, score = path(heard((PAUSE, 2)), phones)
    assert score == -np.inf
