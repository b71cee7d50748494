"""The size of a BigVGAN generator and the two forms of its end. Needs no torch."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BigVganShape:
    """inputs: channels of a frame; speaker: of the speaker vector that every stage sees, 0 for none.

    tanh: the sound is bent into -1..1, else clamped. final_bias: whether the last convolution has one.
    """

    inputs: int
    upsample_rates: tuple[int, ...]
    upsample_kernel_sizes: tuple[int, ...]
    upsample_initial_channel: int
    resblock_kernel_sizes: tuple[int, ...]
    resblock_dilation_sizes: tuple[tuple[int, ...], ...]
    speaker: int = 0
    tanh: bool = True
    final_bias: bool = True

    @property
    def samples_per_frame(self) -> int:
        return math.prod(self.upsample_rates)
