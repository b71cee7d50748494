"""GPT part of the small family: the decode step over static slots."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.engine.device import Device
from deployments.engine.invariant import Linear, Norm
from deployments.engine.kv_cache import KVCache
from deployments.engine.sampling import SamplingState
from deployments.errors import InvalidInput
from deployments.families.base import GptRequest, Prefill, Sampling
from deployments.families.small.config import SmallConfig
from deployments.families.small.duration import advance, thresholds
from deployments.families.small.gpt_net import Block, GptNet

CONTEXT = 1024  # positions of a slot: speaker, phones and codes; a segment of 12 s takes about 750
PREFILL = (
    128  # phones x layers that a piece of a prefill takes on a CPU: about as long as a step of eight rows
)
LANES = 16  # logits are padded to a multiple of this, so that no vector tail depends on the batch


class StepOut(NamedTuple):
    codes: Tensor  # (B,) int64
    done: Tensor  # (B,) bool
    frames: None = None
    kept: None = None


class StepBlock:
    """A block's weights as the decode step wants them: linear maps whose rows do not depend on the batch."""

    def __init__(self, block: Block) -> None:
        self.norm_1, self.norm_2 = _norm(block.norm_1), _norm(block.norm_2)
        self.project, self.merge, self.widen, self.narrow = (
            Linear(layer.weight, layer.bias)
            for layer in (block.project, block.merge, block.widen, block.narrow)
        )


class SmallGpt:
    """Implements GptModel: one code a step, and a pointer into the phones that moves with it."""

    def __init__(self, net: GptNet, config: SmallConfig, device: Device, slots: int) -> None:
        self.config, self.slots, self.context, self.max_codes = config, slots, CONTEXT, config.max_codes
        self.device, self.dtype = device.torch_device, device.dtype
        self.net = net.eval().to(self.device, self.dtype)
        self.net.cosine, self.net.sine = self.net.cosine.float(), self.net.sine.float()
        self.blocks = [StepBlock(block) for block in self.net.blocks]
        self.norm = _norm(self.net.norm)
        pad = -config.n_codes % LANES
        self.code_head = Linear(
            F.pad(net.code_head.weight.detach(), (0, 0, 0, pad)), F.pad(net.code_head.bias.detach(), (0, pad))
        )
        self.advance_head = Linear(net.advance_head.weight, net.advance_head.bias)
        self.row_multiple = max(block.project.row_multiple for block in self.blocks)
        self.forbidden = torch.arange(config.n_codes + pad, device=self.device) >= config.n_codes
        self.rotary = _rotary_table(self.net)

        head_dim = config.gpt_dim // config.gpt_heads
        self.cache = KVCache(
            config.gpt_layers, slots, config.gpt_heads, CONTEXT, head_dim, self.dtype, self.device
        )
        self.sampling = SamplingState(slots, config.n_codes + pad, self.device, steps=config.max_codes)

        def per_slot(value: float, dtype: torch.dtype, *shape: int) -> Tensor:
            return torch.full((slots + 1, *shape), value, dtype=dtype, device=self.device)

        self.rows = torch.arange(slots + 1, device=self.device)
        self.code = per_slot(config.bos, torch.int64)  # the code before the next one
        self.phone = per_slot(0, torch.int64)  # where the pointer is
        self.last = per_slot(0, torch.int64)  # index of the last phone
        self.stay = per_slot(0, torch.int64)  # steps spent at the phone
        self.survival = per_slot(1.0, torch.float64)
        self.thresholds = per_slot(0.5, torch.float64, config.max_phones)
        self.pointers = per_slot(0.0, self.dtype, config.max_phones, config.gpt_dim)

    def prefill(self, slot: int, request: GptRequest) -> Prefill:
        """Raises InvalidInput where the segment holds more phones than a slot takes."""
        count = len(request.segment.token_ids)
        if count > self.config.max_phones:
            raise InvalidInput(
                f"a segment of {count} phones is too long: at most {self.config.max_phones}", param="input"
            )
        phones = torch.from_numpy(np.ascontiguousarray(request.segment.token_ids, np.int64)).to(self.device)
        speaker = torch.from_numpy(np.ascontiguousarray(request.prompt.tensors["speaker"]))
        x, pointers = self.net.prefix(speaker.to(self.device, self.dtype).unsqueeze(0), phones.unsqueeze(0))
        yield
        cosine, sine = self.net.rotary(torch.arange(1 + count, device=self.device))
        rotary = cosine.to(self.dtype), sine.to(self.dtype)
        layers = max(1, PREFILL // count) if self.device.type == "cpu" else len(self.blocks)
        for layer, block in enumerate(self.net.blocks):
            if layer and layer % layers == 0:
                yield
            q, k, v = block.qkv(x, rotary)
            self.cache.fill(layer, slot, k[0].transpose(0, 1), v[0].transpose(0, 1))
            if layer < len(self.blocks) - 1:  # nobody reads the last layer's output
                x = block.finish(x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        self._begin(slot, request.sampling, pointers[0])
        return 1 + count

    def step(self, rows: Tensor, length: int) -> StepOut:
        at, count = self.cache.index(rows), len(rows)
        phone, stay = self.phone[at], self.stay[at]
        x = F.embedding(self.code[at].clamp(min=0), self.net.code_embedding.weight)  # (B, D)
        x = x + self.pointers[rows, phone] + self.net.embed_stay(stay)
        surplus = x.new_zeros(-count % self.row_multiple, x.shape[1])
        x = torch.cat((x, surplus))  # (M, D), once for all linear maps
        rotary = self.rotary[self.cache.positions_of(rows)].unbind(1)  # (B, 3, 1, d) each
        for layer, block in enumerate(self.blocks):
            qkv = block.project(block.norm_1(x))[:count].unflatten(-1, (3, self.config.gpt_heads, -1))
            qkv = _rotated(qkv, *rotary)  # (B, 3, H, d)
            self.cache.write(layer, rows, qkv[:, 1:])
            attended = self.cache.attend(layer, qkv[:, 0], rows, length).flatten(1)  # (B, D)
            x = x + block.merge(torch.cat((attended, surplus)))
            x = x + block.narrow(F.gelu(block.widen(block.norm_2(x))))
        x = self.norm(x)
        logits = self.code_head(x)[:count].float().masked_fill(self.forbidden, float("-inf"))
        codes = self.sampling.draw(logits, at)

        # float64: what is left of rounding differences between batch sizes must not decide where a phone ends
        last = self.last[at]
        move, survival, ended = advance(
            self.advance_head(x)[:count].double(),
            self.survival[at],
            stay,
            phone >= last,
            self.thresholds[rows, phone],
            self.config.max_stay,
        )
        moved = move > 0
        self.code[at] = codes
        self.phone[at] = torch.minimum(phone + move, last)
        self.stay[at] = torch.where(moved, 0, (stay + 1).clamp(max=self.config.max_stay))
        self.survival[at] = torch.where(moved, 1.0, survival)
        self.cache.advance(rows)
        return StepOut(codes, ended)

    def force(self, slot: int, code: np.ndarray) -> None:
        self.code[slot] = int(code)
        self.sampling.force(slot, int(code))

    def wipe(self, slot: int) -> None:
        self.cache.wipe(slot)

    def _begin(self, slot: int, sampling: Sampling, pointers: Tensor) -> None:
        """pointers: (P, D)"""
        count = len(pointers)
        self.pointers[slot, :count] = pointers
        self.cache.set_length(slot, 1 + count)
        self.sampling.set(slot, sampling)
        seed = torch.full((), sampling.seed, dtype=torch.int64, device=self.device)
        temperature = torch.full((), sampling.temperature, device=self.device)
        drawn = thresholds(seed, torch.arange(count, device=self.device), temperature)
        self.thresholds[slot, :count] = drawn.double()
        self.code[slot] = self.config.bos
        self.phone[slot] = 0
        self.last[slot] = count - 1
        self.stay[slot] = 0
        self.survival[slot] = 1.0


def _norm(norm: nn.LayerNorm) -> Norm:
    return Norm(norm.weight, norm.bias, norm.eps)


def _rotary_table(net: GptNet) -> Tensor:
    """By position: what query, key and value are multiplied by, and what their turned selves are.

    (positions, 2, 3, 1, d): cosine and signed sine for queries and keys, 1 and 0 for values.
    """
    cosine, sine = net.cosine, net.sine  # (positions, d / 2)
    factor, turned = torch.cat([cosine, cosine], -1), torch.cat([-sine, sine], -1)
    plain = torch.stack([torch.ones_like(factor), torch.zeros_like(factor)], 1)
    both = torch.stack([factor, turned], 1)
    return torch.stack([both, both, plain], 2).unsqueeze(3)


def _rotated(qkv: Tensor, factor: Tensor, turned: Tensor) -> Tensor:
    """(B, 3, H, d), with the tables' rows (B, 3, 1, d): queries and keys at their positions. One product for all."""
    x = qkv.float()
    return (x * factor).addcmul_(x.roll(x.shape[-1] // 2, -1), turned).to(qkv.dtype)
