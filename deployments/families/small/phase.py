"""Phase of the pulses. It adds up F0, and with it whatever one way of computing F0 rounds otherwise than another: so
it begins anew wherever no pulse has been heard for a while, and nothing adds up for longer than speech stays voiced.

Both functions take arrays of NumPy, whose calls cost less, as well as tensors, which may lie on an accelerator.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from deployments.families.small.spans import BEFORE

Array: TypeAlias = Any  # np.ndarray or Tensor

# frames of 10 ms; were they fewer, a chunk's sound could depend on pulses in front of a beginning that it does not see
QUIET = BEFORE + 1


def begins_anew(voiced: Array) -> Array:
    """Whether the phase is 0 at a frame's start: where it and those before, QUIET in all, are unvoiced.

    voiced: (..., QUIET + F), zeros first and wherever there is no frame -> (..., F)
    """
    heard = voiced.cumsum(-1)
    return heard[..., QUIET:] == heard[..., :-QUIET]


def handed_on(phase: Array, chain: Array, anew: Array, passed: Array) -> Array:
    """Phases (B,) in [0, 1) at which rows begin; phase (B,), chain (B, B) as in VocoderNet.

    anew (B,): whether the row's phase has begun anew; passed (B,): cycles since then, else since the row's start.
    """
    marked = chain * anew  # at [i, j]: j comes before i and has begun anew
    counted = chain * ((marked @ chain) == 0)  # without rows that another one's new beginning follows
    return (phase * (marked.sum(-1) == 0) + counted @ passed) % 1.0
