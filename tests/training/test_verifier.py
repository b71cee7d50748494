"""The equal error rate."""

from __future__ import annotations

import numpy as np
import pytest

from training.verifier import equal_error_rate


@pytest.mark.parametrize(("apart", "expected"), [(0.0, 0.5), (2.0, 0.159), (20.0, 0.0)])
def test_equal_error_rate_of_two_gaussians(apart, expected):
    rng = np.random.default_rng(0)
    different, same = rng.normal(size=(2, 20_000))
    assert equal_error_rate(same + apart, different) == pytest.approx(expected, abs=0.01)
