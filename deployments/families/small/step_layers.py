"""The GPT's layers for one decode step over static slots, written so that TorchScript can take them as they are."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, cat, nn

from deployments.engine.invariant import Linear, Norm
from deployments.engine.kv_cache import Sight, attend, write
from deployments.families.small.gpt_net import Block, GptNet


class StepBlock(nn.Module):
    """A block's weights as the decode step wants them: linear maps whose rows do not depend on the batch."""

    __constants__ = ("heads",)

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.heads = block.heads
        self.norm_1, self.norm_2 = norm_of(block.norm_1), norm_of(block.norm_2)
        self.project, self.merge, self.widen, self.narrow = (
            Linear(layer.weight, layer.bias)
            for layer in (block.project, block.merge, block.widen, block.narrow)
        )

    def forward(self, x: Tensor, rotary: Tensor, surplus: Tensor, layer: Tensor, sight: Sight) -> Tensor:
        """As `StepLayers.forward`; surplus (M - B, D): what fills the attended rows up; layer: of the cache."""
        qkv = self.project(self.norm_1(x))[: len(rotary)].unflatten(-1, (3, self.heads, -1))
        qkv = rotated(qkv, rotary)  # (B, 3, H, d)
        write(layer, sight, qkv[:, 1:])
        attended = attend(layer, sight, qkv[:, 0]).flatten(1)  # (B, D)
        x = x + self.merge(cat((attended, surplus)))
        return x + self.narrow(F.gelu(self.widen(self.norm_2(x))))


class StepLayers(nn.Module):
    def __init__(self, net: GptNet) -> None:
        super().__init__()
        blocks = [StepBlock(block) for block in net.blocks]
        self.blocks = nn.ModuleList(blocks)
        self.row_multiple = max(block.project.row_multiple for block in blocks)

    def forward(self, x: Tensor, rotary: Tensor, cache: list[Tensor], sight: Sight) -> Tensor:
        """x (M, D), the first B rows of it the batch's, rotary (B, 2, 3, 1, d) -> (M, D); writes keys and values."""
        surplus = x.new_zeros((x.shape[0] - rotary.shape[0], x.shape[1]))
        for layer, block in enumerate(self.blocks):
            x = block(x, rotary, surplus, cache[layer], sight)
        return x


def norm_of(norm: nn.LayerNorm) -> Norm:
    return Norm(norm.weight, norm.bias, norm.eps)


def rotated(qkv: Tensor, rotary: Tensor) -> Tensor:
    """(B, 3, H, d), with the table's rows (B, 2, 3, 1, d): queries and keys at their positions. One product for all."""
    x = qkv.float()
    return (x * rotary[:, 0]).addcmul_(x.roll(x.shape[-1] // 2, -1), rotary[:, 1]).to(qkv.dtype)
