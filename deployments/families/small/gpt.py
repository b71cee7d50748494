"""GPT part of the small family: the decode step over static slots."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.engine.device import Device
from deployments.engine.invariant import Linear
from deployments.engine.kv_cache import KVCache
from deployments.engine.sampling import SamplingState
from deployments.errors import InvalidInput
from deployments.families.base import GptRequest
from deployments.families.small.config import SmallConfig
from deployments.families.small.duration import advance, thresholds
from deployments.families.small.gpt_net import Block, GptNet

CONTEXT = 1024  # positions of a slot: speaker, phones and codes; a segment of 12 s takes about 750
LANES = 16  # logits are padded to a multiple of this, so that no vector tail depends on the batch


class StepOut(NamedTuple):
    codes: Tensor  # (B,) int64
    done: Tensor  # (B,) bool
    frames: None = None
    kept: None = None


class StepBlock:
    """A block's weights as the decode step wants them: linear maps whose rows do not depend on the batch."""

    def __init__(self, block: Block) -> None:
        self.heads = block.heads
        self.norm_1, self.norm_2 = block.norm_1, block.norm_2
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
        pad = -config.n_codes % LANES
        self.code_head = Linear(
            F.pad(net.code_head.weight.detach(), (0, 0, 0, pad)), F.pad(net.code_head.bias.detach(), (0, pad))
        )
        self.advance_head = Linear(net.advance_head.weight, net.advance_head.bias)
        self.row_multiple = max(block.project.row_multiple for block in self.blocks)
        self.forbidden = torch.arange(config.n_codes + pad, device=self.device) >= config.n_codes

        head_dim = config.gpt_dim // config.gpt_heads
        self.cache = KVCache(
            config.gpt_layers, slots, config.gpt_heads, CONTEXT, head_dim, self.dtype, self.device
        )
        self.sampling = SamplingState(slots, config.n_codes + pad, self.device)

        def per_slot(value: float, dtype: torch.dtype, *shape: int) -> Tensor:
            return torch.full((slots + 1, *shape), value, dtype=dtype, device=self.device)

        self.code = per_slot(config.bos, torch.int64)  # the code before the next one
        self.phone = per_slot(0, torch.int64)  # where the pointer is
        self.last = per_slot(0, torch.int64)  # index of the last phone
        self.stay = per_slot(0, torch.int64)  # steps spent at the phone
        self.survival = per_slot(1.0, torch.float64)
        self.threshold = per_slot(0.5, torch.float64)
        self.seed = per_slot(0, torch.int64)
        self.temperature = per_slot(0.0, torch.float32)
        self.pointers = per_slot(0.0, self.dtype, config.max_phones, config.gpt_dim)

    def prefill(self, slot: int, request: GptRequest) -> int:
        """Raises InvalidInput where the segment holds more phones than a slot takes."""
        count = len(request.segment.token_ids)
        if count > self.config.max_phones:
            raise InvalidInput(
                f"a segment of {count} phones is too long: at most {self.config.max_phones}", param="input"
            )
        phones = torch.from_numpy(np.ascontiguousarray(request.segment.token_ids, np.int64)).to(self.device)
        speaker = torch.from_numpy(np.ascontiguousarray(request.prompt.tensors["speaker"]))
        x, pointers = self.net.prefix(speaker.to(self.device, self.dtype).unsqueeze(0), phones.unsqueeze(0))
        rotary = self._rotary(torch.arange(1 + count, device=self.device))
        for layer, block in enumerate(self.net.blocks):
            q, k, v = block.qkv(x, rotary)
            self.cache.fill(layer, slot, k[0].transpose(0, 1), v[0].transpose(0, 1))
            x = block.finish(x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        self.cache.set_length(slot, 1 + count)
        self.pointers[slot, :count] = pointers[0]

        sampling = request.sampling
        self.sampling.set(slot, sampling)
        self.code[slot] = self.config.bos
        self.phone[slot] = 0
        self.last[slot] = count - 1
        self.stay[slot] = 0
        self.survival[slot] = 1.0
        self.seed[slot] = sampling.seed
        self.temperature[slot] = sampling.temperature
        self.threshold[slot] = self._thresholds(slot, self.phone[slot])
        return 1 + count

    def step(self, rows: Tensor, length: int) -> StepOut:
        phone, stay = self.phone[rows], self.stay[rows]
        x = self.net.embed_step(self.code[rows].clamp(min=0), self.pointers[rows, phone], stay)  # (B, D)
        x = F.pad(x, (0, 0, 0, -len(rows) % self.row_multiple))  # (M, D), once for all linear maps
        rotary = self._rotary(self.cache.positions[rows].unsqueeze(1))
        for layer, block in enumerate(self.blocks):
            x = self._block(layer, block, x, rotary, rows, length)
        x = self.net.norm(x)
        logits = self.code_head(x)[: len(rows)].float().masked_fill(self.forbidden, float("-inf"))
        codes = self.sampling.draw(logits, rows)

        # float64: what is left of rounding differences between batch sizes must not decide where a phone ends
        last = self.last[rows]
        move, survival, ended = advance(
            self.advance_head(x)[: len(rows)].double(),
            self.survival[rows],
            stay,
            phone >= last,
            self.threshold[rows],
            self.config.max_stay,
        )
        moved = move > 0
        phone = torch.minimum(phone + move, last)
        self.code[rows] = codes
        self.phone[rows] = phone
        self.stay[rows] = torch.where(moved, 0, (stay + 1).clamp(max=self.config.max_stay))
        self.survival[rows] = torch.where(moved, 1.0, survival)
        self.threshold[rows] = self._thresholds(rows, phone)
        self.cache.advance(rows)
        return StepOut(codes, ended)

    def force(self, slot: int, code: np.ndarray) -> None:
        self.code[slot] = int(code)
        self.sampling.force(slot, int(code))

    def _block(
        self,
        layer: int,
        block: StepBlock,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        rows: Tensor,
        length: int,
    ) -> Tensor:
        """x (M, D) -> (M, D), of which the first B rows count; writes their key and value at this position."""
        qkv = block.project(block.norm_1(x))[: len(rows)].unflatten(-1, (3, block.heads, -1))  # (B, 3, H, d)
        cosine, sine = rotary  # (B, 1, 1, d / 2)
        a, b = qkv[:, :2].float().chunk(2, dim=-1)
        turned = torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1).to(x.dtype)
        self.cache.write(layer, rows, turned[:, 1], qkv[:, 2])
        attended = self.cache.attend(layer, turned[:, 0], rows, length)  # (B, H, d)
        attended = F.pad(attended.flatten(1), (0, 0, 0, len(x) - len(rows)))  # (M, D)
        x = x + block.merge(attended)
        return x + block.narrow(F.gelu(block.widen(block.norm_2(x))))

    def _rotary(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        cosine, sine = self.net.rotary(positions)
        return cosine.to(self.dtype), sine.to(self.dtype)

    def _thresholds(self, slots: Tensor | int, phone: Tensor) -> Tensor:
        return thresholds(self.seed[slots], phone, self.temperature[slots]).double()
