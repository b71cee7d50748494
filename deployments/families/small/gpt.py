"""GPT part of the small family: the decode step over static slots."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.contract.device import Device
from deployments.contract.errors import InvalidInput
from deployments.contract.family import Prefill, StepOutput
from deployments.contract.speech import GptRequest, Sampling
from deployments.engine.decode.kv_cache import KVCache
from deployments.engine.decode.sampling import SamplingState
from deployments.engine.script import scripted
from deployments.families.small.config import SmallConfig
from deployments.families.small.duration import thresholds
from deployments.families.small.gpt_net import GptNet
from deployments.families.small.step_net import State, StepNet

CONTEXT = 1344  # positions of a slot: speaker, phones and codes; a segment of 12 s at half speed takes 1,300
# phones x layers in a piece of a prefill on a CPU (the embedding counts as two): as long as a step of eight rows
PREFILL = 160


class SmallGpt:
    """Implements GptModel: one code a step, and a pointer into the phones that moves with it."""

    def __init__(self, net: GptNet, config: SmallConfig, device: Device, slots: int) -> None:
        self.config, self.slots, self.context, self.max_codes = config, slots, CONTEXT, config.max_codes
        self.device, self.dtype = device.torch_device, device.dtype
        self.net = net.eval().to(self.device, self.dtype)
        self.net.cosine, self.net.sine = self.net.cosine.float(), self.net.sine.float()
        self.step_net = StepNet(self.net)
        self.run: Callable[..., tuple[Tensor, Tensor]] = self.step_net

        head_dim = config.gpt_dim // config.gpt_heads
        self.cache = KVCache(
            config.gpt_layers, slots, config.gpt_heads, CONTEXT, head_dim, self.dtype, self.device
        )
        self.sampling = SamplingState(slots, self.step_net.n_logits, self.device, steps=config.max_codes)

        def per_slot(value: float, dtype: torch.dtype, *shape: int) -> Tensor:
            return torch.full((slots + 1, *shape), value, dtype=dtype, device=self.device)

        self.state = State(
            code=per_slot(config.bos, torch.int64),
            phone=per_slot(0, torch.int64),
            last=per_slot(0, torch.int64),
            stay=per_slot(0, torch.int64),
            survival=per_slot(1.0, torch.float64),
            thresholds=per_slot(0.5, torch.float64, config.max_phones),
            pointers=per_slot(0.0, self.dtype, config.max_phones, config.gpt_dim),
        )

    def compile(self) -> str:
        if self.device.type != "cpu":
            return ""
        self.run, what = scripted(self.step_net)
        return what

    def prefill(self, slot: int, request: GptRequest) -> Prefill:
        """Raises InvalidInput if the segment has more phones than a slot takes."""
        count = len(request.segment.token_ids)
        if count > self.config.max_phones:
            raise InvalidInput(
                f"a segment of {count} phones is too long: at most {self.config.max_phones}", param="input"
            )
        phones = torch.from_numpy(np.ascontiguousarray(request.segment.token_ids, np.int64)).to(self.device)
        speaker = torch.from_numpy(np.ascontiguousarray(request.prompt.tensors["speaker"]))
        pace = torch.full((1,), request.sampling.speed, device=self.device)
        voice = speaker.to(self.device, self.dtype).unsqueeze(0)
        x, pointers = self.net.prefix(voice, phones.unsqueeze(0), pace)
        cosine, sine = self.net.rotary(torch.arange(1 + count, device=self.device))
        rotary = cosine.to(self.dtype), sine.to(self.dtype)
        piece = max(1, PREFILL // count) if self.device.type == "cpu" else 2 + self.config.gpt_layers
        for layer, block in enumerate(self.net.blocks):
            if (2 + layer) % piece == 0:
                yield
            q, k, v = block.qkv(x, rotary)
            self.cache.fill(layer, slot, k[0].transpose(0, 1), v[0].transpose(0, 1))
            if layer < self.config.gpt_layers - 1:  # the last layer's output is not used
                x = block.finish(x, F.scaled_dot_product_attention(q, k, v, is_causal=True))
        self._begin(slot, request.sampling, pointers[0])
        return 1 + count

    def step(self, rows: Tensor, length: int) -> StepOutput:
        logits, ended = self.run(self.state, self.cache.layers, self.cache.plan(rows, length))
        at = self.cache.index(rows)
        codes = self.sampling.draw(logits, at)
        self.state.code[at] = codes
        self.cache.advance(rows)
        return StepOutput(codes, ended)

    def force(self, slot: int, code: np.ndarray) -> None:
        self.state.code[slot] = int(code)
        self.sampling.force(slot, int(code))

    def wipe(self, slot: int) -> None:
        self.cache.wipe(slot)

    def _begin(self, slot: int, sampling: Sampling, pointers: Tensor) -> None:
        """pointers: (P, D)"""
        count = len(pointers)
        self.state.pointers[slot, :count] = pointers
        self.cache.set_length(slot, 1 + count)
        self.sampling.set(slot, sampling)
        seed = torch.full((), sampling.seed, dtype=torch.int64, device=self.device)
        temperature = torch.full((), sampling.controls["temperature"], device=self.device)
        drawn = thresholds(seed, torch.arange(count, device=self.device), temperature)
        self.state.thresholds[slot, :count] = drawn.double()
        self.state.code[slot] = self.config.bos
        self.state.phone[slot] = 0
        self.state.last[slot] = count - 1
        self.state.stay[slot] = 0
        self.state.survival[slot] = 1.0
