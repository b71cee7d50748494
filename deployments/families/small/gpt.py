"""GPT part of the small family: the decode step over static slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.engine.device import Device
from deployments.engine.invariant import Linear
from deployments.engine.kv_cache import KVCache
from deployments.engine.sampling import SamplingState
from deployments.engine.script import scripted
from deployments.errors import InvalidInput
from deployments.families.base import GptRequest, Prefill, Sampling
from deployments.families.small.config import SmallConfig
from deployments.families.small.duration import advance, thresholds
from deployments.families.small.gpt_net import GptNet
from deployments.families.small.step_layers import StepLayers, norm_of

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


class SmallGpt:
    """Implements GptModel: one code a step, and a pointer into the phones that moves with it."""

    def __init__(self, net: GptNet, config: SmallConfig, device: Device, slots: int) -> None:
        self.config, self.slots, self.context, self.max_codes = config, slots, CONTEXT, config.max_codes
        self.device, self.dtype = device.torch_device, device.dtype
        self.net = net.eval().to(self.device, self.dtype)
        self.net.cosine, self.net.sine = self.net.cosine.float(), self.net.sine.float()
        self.eager_layers = StepLayers(self.net)
        self.layers: Callable[..., Tensor] = self.eager_layers
        self.norm = norm_of(self.net.norm)
        pad = -config.n_codes % LANES
        self.code_head = Linear(
            F.pad(net.code_head.weight.detach(), (0, 0, 0, pad)), F.pad(net.code_head.bias.detach(), (0, pad))
        )
        self.advance_head = Linear(net.advance_head.weight, net.advance_head.bias)
        self.row_multiple = self.eager_layers.row_multiple
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

    def compile(self) -> str:
        if self.device.type != "cpu":
            return ""
        self.layers, what = scripted(self.eager_layers)
        return f"layers: {what}"

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
        layers = max(1, PREFILL // count) if self.device.type == "cpu" else self.config.gpt_layers
        for layer, block in enumerate(self.net.blocks):
            if layer and layer % layers == 0:
                yield
            q, k, v = block.qkv(x, rotary)
            self.cache.fill(layer, slot, k[0].transpose(0, 1), v[0].transpose(0, 1))
            if layer < self.config.gpt_layers - 1:  # nobody reads the last layer's output
                x = block.finish(x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        self._begin(slot, request.sampling, pointers[0])
        return 1 + count

    def step(self, rows: Tensor, length: int) -> StepOut:
        at, count = self.cache.index(rows), len(rows)
        phone, stay = self.phone[at], self.stay[at]
        x = F.embedding(self.code[at].clamp(min=0), self.net.code_embedding.weight)  # (B, D)
        x = x + self.pointers[rows, phone] + self.net.embed_stay(stay)
        x = F.pad(x, (0, 0, 0, -count % self.row_multiple))  # (M, D), once for all linear maps
        rotary = self.rotary[self.cache.positions_of(rows)]  # (B, 2, 3, 1, d)
        x = self.layers(x, rotary, self.cache.layers, self.cache.sight(rows, length))
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


def _rotary_table(net: GptNet) -> Tensor:
    """By position: what query, key and value are multiplied by, and what their turned selves are.

    (positions, 2, 3, 1, d): cosine and signed sine for queries and keys, 1 and 0 for values.
    """
    cosine, sine = net.cosine, net.sine  # (positions, d / 2)
    factor, turned = torch.cat([cosine, cosine], -1), torch.cat([-sine, sine], -1)
    plain = torch.stack([torch.ones_like(factor), torch.zeros_like(factor)], 1)
    both = torch.stack([factor, turned], 1)
    return torch.stack([both, both, plain], 2).unsqueeze(3)
