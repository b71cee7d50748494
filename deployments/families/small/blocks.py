"""The convolution block of the speaker encoder and the vocoder."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Residual block: depthwise convolution over time, norm (modulated by an optional condition), MLP.

    x (B, T, D), mask (B, T, 1) of zeros and ones or None, condition (B, C) -> (B, T, D). Masked steps are zeroed before
    the convolution, so padding equals the zeros outside the utterance. reach: the number of steps before and after its
    own that the convolution sees.
    """

    def __init__(
        self, dim: int, hidden: int, reach: tuple[int, int] = (3, 3), condition_dim: int = 0
    ) -> None:
        super().__init__()
        self.reach = reach
        self.depthwise = nn.Conv1d(dim, dim, 1 + sum(reach), groups=dim)
        self.norm = nn.LayerNorm(dim, elementwise_affine=condition_dim == 0)
        self.condition = nn.Linear(condition_dim, 2 * dim) if condition_dim else None
        self.widen = nn.Linear(dim, hidden)
        self.narrow = nn.Linear(hidden, dim)
        self.scale = nn.Parameter(torch.full((dim,), 0.3))

    def forward(self, x: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        if mask is not None:
            x = x * mask
        y = self.norm(self.depthwise(F.pad(x.transpose(1, 2), self.reach)).transpose(1, 2))
        if self.condition is not None:
            gain, shift = self.condition(condition).unsqueeze(1).chunk(2, dim=-1)  # (B, 1, D) each
            y = y * (1 + gain) + shift
        return x + self.scale * self.narrow(F.gelu(self.widen(y)))
