"""Random numbers that are a pure function of (seed, counter): independent of chunking, batch mates and device.

Both are int64 tensors that broadcast. The hash is splitmix64's finaliser, run twice; int64 products wrap, as needed.
"""

import math

import torch
from torch import Tensor

_STEP = 0x9E3779B97F4A7C15 - (1 << 64)
_MUL_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MUL_2 = 0x94D049BB133111EB - (1 << 64)
_BITS = 23  # of a uniform: (k + 0.5) / 2**23 is exact in float32 and never 0 or 1


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift: `>>` on int64 is arithmetic."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = _shift(x, 30).bitwise_xor_(x).mul_(_MUL_1)
    x = _shift(x, 27).bitwise_xor_(x).mul_(_MUL_2)
    return _shift(x, 31).bitwise_xor_(x)


def bits(seed: Tensor, counter: Tensor) -> Tensor:
    """64 random bits as int64, of the broadcast shape."""
    return _mix(_mix(seed * _STEP + 1) + counter * _STEP)


def _unit(x: Tensor) -> Tensor:
    return (x & ((1 << _BITS) - 1)).to(torch.float32).add_(0.5).mul_(2.0**-_BITS)


def uniform(seed: Tensor, counter: Tensor) -> Tensor:
    """float32 in the open interval (0, 1)."""
    return _unit(_shift(bits(seed, counter), 64 - _BITS))


def normal(seed: Tensor, counter: Tensor) -> Tensor:
    """float32 standard normal (Box-Muller on two halves of one hash)."""
    both = bits(seed, counter)
    radius = _unit(_shift(both, 64 - _BITS)).log_().mul_(-2.0).sqrt_()
    return _unit(both).mul_(2.0 * math.pi).cos_().mul_(radius)
