"""The phase of the pulses.

The phase is the sum of F0, so it also accumulates the rounding differences between two ways of computing F0. Therefore
it restarts at 0 after a pause without pulses, and differences accumulate only while speech stays voiced.

Both functions take NumPy arrays, whose calls cost less, and tensors, which may be on an accelerator.
"""

from typing import Any, TypeAlias

from deployments.families.small.spans import BEFORE

Array: TypeAlias = Any  # np.ndarray or Tensor

# Frames of 10 ms. With fewer, a chunk's sound could depend on pulses before a restart that lies outside the chunk.
QUIET = BEFORE + 1


def restarts(voiced: Array) -> Array:
    """True where the phase restarts at a frame's start, because the last QUIET frames, this one included, are unvoiced.

    voiced: (..., QUIET + F), zeros at the start and where there is no frame -> (..., F)
    """
    heard = voiced.cumsum(-1)
    return heard[..., QUIET:] == heard[..., :-QUIET]


def carried_phases(phase: Array, chain: Array, restarted: Array, passed: Array) -> Array:
    """Phases (B,) in [0, 1) at the start of each row; phase (B,), chain (B, B) as in VocoderNet.

    restarted (B,): True if the phase restarts in the row. passed (B,): cycles since then, or since the row's start.
    """
    marked = chain * restarted  # at [i, j]: j comes before i and has a restart
    counted = chain * ((marked @ chain) == 0)  # without rows that precede another row's restart
    return (phase * (marked.sum(-1) == 0) + counted @ passed) % 1.0
