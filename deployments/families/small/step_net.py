"""One decode step over static slots, in a form that TorchScript can compile."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.engine.decode.attention_plan import AttentionPlan, attend, write
from deployments.engine.invariant import Head, Linear, Norm
from deployments.families.small.duration import advance
from deployments.families.small.gpt_net import Block, GptNet


class State(NamedTuple):
    """The state of every slot, the scratch slot included: (slots + 1,) unless stated."""

    code: Tensor  # int64, the previous code
    phone: Tensor  # int64, the pointer
    last: Tensor  # int64, index of the last phone
    stay: Tensor  # int64, steps spent at the phone
    survival: Tensor  # float64
    thresholds: Tensor  # float64 (slots + 1, max_phones)
    pointers: Tensor  # (slots + 1, max_phones, D)


class StepBlock(nn.Module):
    """A block's weights for the decode step: linear maps whose rows do not depend on the batch size."""

    __constants__ = ("heads",)

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.heads = block.heads
        self.norm_1, self.norm_2 = (Norm(norm.weight, norm.bias) for norm in (block.norm_1, block.norm_2))
        self.project, self.merge, self.widen, self.narrow = (
            Linear(layer.weight, layer.bias)
            for layer in (block.project, block.merge, block.widen, block.narrow)
        )

    def forward(
        self, x: Tensor, rotary: Tensor, surplus: Tensor, layer: Tensor, plan: AttentionPlan
    ) -> Tensor:
        """x (M, D), whose first B rows are the batch -> (M, D). Writes keys and values to the cache's `layer`.

        rotary (B, 2, 3, 1, d); surplus (M - B, D): pads the attended rows.
        """
        qkv = self.project(self.norm_1(x))[: len(rotary)].unflatten(-1, (3, self.heads, -1))
        qkv = rotated(qkv, rotary)  # (B, 3, H, d)
        write(layer, plan, qkv[:, 1:])
        attended = attend(layer, plan, qkv[:, 0]).flatten(1)  # (B, D)
        x = x + self.merge(torch.cat((attended, surplus)))
        return x + self.narrow(F.gelu(self.widen(self.norm_2(x))))


class StepNet(nn.Module):
    """A whole step except sampling."""

    __constants__ = ("max_stay", "row_multiple", "stay_rows")

    def __init__(self, net: GptNet) -> None:
        super().__init__()
        config = net.config
        self.max_stay, self.stay_rows = config.max_stay, config.stay_rows
        self.codes = net.code_embedding.weight.detach()
        self.stays = net.stay_embedding.weight.detach()
        blocks = [StepBlock(block) for block in net.blocks]
        self.blocks = nn.ModuleList(blocks)
        self.row_multiple = max(block.project.row_multiple for block in blocks)
        self.norm = Norm(net.norm.weight, net.norm.bias)
        self.code_head = Head(net.code_head.weight, net.code_head.bias)
        self.advance_head = Linear(net.advance_head.weight, net.advance_head.bias)
        self.rotary = _rotary_table(net)

    def forward(self, state: State, cache: list[Tensor], plan: AttentionPlan) -> tuple[Tensor, Tensor]:
        """Updates the pointers and the cache. Returns the next codes' logits (B, V) and ended (B,) bool."""
        rows = plan.rows
        count = rows.shape[0]
        phone, stay, last = state.phone[rows], state.stay[rows], state.last[rows]
        x = F.embedding(state.code[rows].clamp(min=0), self.codes)  # (B, D)
        x = x + state.pointers[rows, phone] + F.embedding(stay.clamp(max=self.stay_rows - 1), self.stays)
        surplus = x.new_zeros((-count % self.row_multiple, x.shape[1]))
        x = torch.cat((x, surplus))  # (M, D), padded once for all linear maps
        rotary = self.rotary[plan.positions]  # (B, 2, 3, 1, d)
        for layer, block in enumerate(self.blocks):
            x = block(x, rotary, surplus, cache[layer], plan)
        x = self.norm(x)
        logits = self.code_head(x)[:count]

        # float64, so that rounding differences between batch sizes do not decide where a phone ends
        move, survival, ended = advance(
            self.advance_head(x)[:count].double(),
            state.survival[rows],
            stay,
            phone >= last,
            state.thresholds[rows, phone],
            self.max_stay,
        )
        moved = move > 0
        state.phone[rows] = torch.minimum(phone + move, last)
        state.stay[rows] = torch.where(moved, 0, (stay + 1).clamp(max=self.max_stay))
        state.survival[rows] = torch.where(moved, 1.0, survival)
        return logits, ended


def rotated(qkv: Tensor, rotary: Tensor) -> Tensor:
    """Rotates queries and keys in one operation: qkv (B, 3, H, d), the table's rows (B, 2, 3, 1, d) -> (B, 3, H, d)."""
    x = qkv.float()
    return (x * rotary[:, 0]).addcmul_(x.roll(x.shape[-1] // 2, -1), rotary[:, 1]).to(qkv.dtype)


def _rotary_table(net: GptNet) -> Tensor:
    """For each position, the factors of query, key, value and of their rolled copies: (positions, 2, 3, 1, d).

    Cosine and signed sine for queries and keys; 1 and 0 for values.
    """
    cosine, sine = net.cosine, net.sine  # (positions, d / 2)
    factor, turned = torch.cat([cosine, cosine], -1), torch.cat([-sine, sine], -1)
    plain = torch.stack([torch.ones_like(factor), torch.zeros_like(factor)], 1)
    both = torch.stack([factor, turned], 1)
    return torch.stack([both, both, plain], 2).unsqueeze(3)
