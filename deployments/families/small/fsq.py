"""Finite scalar quantisation: a code is a mixed-radix number with one digit per dimension."""

import torch
from torch import Tensor, nn


class FSQ(nn.Module):
    """Latents in [-1, 1] on a fixed grid, without parameters. Dimension 0 is the least significant digit of a code."""

    levels: Tensor
    radix: Tensor

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        radix = torch.cumprod(torch.tensor([1, *levels[:-1]]), 0)
        self.register_buffer("levels", torch.tensor(levels), persistent=False)  # (Q,)
        self.register_buffer("radix", radix, persistent=False)  # (Q,)

    def digits(self, codes: Tensor) -> Tensor:
        """Codes (...) -> level indices (..., Q)."""
        return torch.div(codes.unsqueeze(-1), self.radix, rounding_mode="floor") % self.levels

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (...) -> latents (..., Q) float32."""
        half = (self.levels - 1) / 2
        return (self.digits(codes) - half) / half
