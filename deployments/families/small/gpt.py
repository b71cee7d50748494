"""GPT part of the small family: the decode step over static slots."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.contract.device import Device
from deployments.contract.family import Prefill, StepOutput
from deployments.contract.speech import GptRequest, Sampling
from deployments.engine.decode.kv_cache import KVCache
from deployments.engine.decode.sampling import SamplingState
from deployments.engine.decode.slots import SlotModel
from deployments.engine.script import scripted
from deployments.families.small.config import SmallConfig
from deployments.families.small.duration import thresholds
from deployments.families.small.gpt_net import GptNet
from deployments.families.small.step_net import State, StepNet

CONTEXT = 1344  # positions of a slot: speaker, phones and codes; a segment of 12 s at half speed takes 1,300
# phones x layers in a piece of a prefill on a CPU (the embedding counts as two): as long as a step of eight rows
PREFILL = 160


class SmallGpt(SlotModel):
    """Implements GptModel: one code a step, and a pointer into the phones that moves with it."""

    def __init__(self, net: GptNet, config: SmallConfig, device: Device, slots: int) -> None:
        super().__init__(device, slots, CONTEXT, config.max_codes)
        self.config = config
        self.net = net.eval().to(self.device, self.dtype)
        self.net.cosine, self.net.sine = self.net.cosine.float(), self.net.sine.float()
        self.step_net = StepNet(self.net)
        self.run: Callable[..., tuple[Tensor, Tensor]] = self.step_net

        head_dim = config.gpt_dim // config.gpt_heads
        self.cache = KVCache(
            config.gpt_layers, slots, config.gpt_heads, CONTEXT, head_dim, self.dtype, self.device
        )
        width = self.step_net.code_head.width
        self.sampling = SamplingState(slots, width, self.device, steps=config.max_codes)
        self.code = self.per_slot(config.bos)
        self.state = State(
            code=self.code,
            phone=self.per_slot(0),
            last=self.per_slot(0),
            stay=self.per_slot(0),
            survival=self.per_slot(1.0, torch.float64),
            thresholds=self.per_slot(0.5, torch.float64, config.max_phones),
            pointers=self.per_slot(0.0, self.dtype, config.max_phones, config.gpt_dim),
        )
        self.phones = self.per_slot(0, torch.int64, config.max_phones) if config.vocoder_phones else None

    def compile(self) -> str:
        if self.device.type != "cpu":
            return ""
        self.run, what = scripted(self.step_net)
        return what

    def prefill(self, slot: int, request: GptRequest) -> Prefill:
        """Raises InvalidInput if the segment has more phones than a slot takes."""
        phones = self.token_ids(request, self.config.max_phones, "phones")
        count = len(phones)
        speaker = self.moved(request.prompt.tensors["speaker"], self.dtype)
        pace = torch.full((1,), request.sampling.speed, device=self.device)
        x, pointers = self.net.prefix(speaker.unsqueeze(0), phones.unsqueeze(0), pace)
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
        if self.phones is not None:
            self.phones[slot, :count] = phones
        return 1 + count

    def step(self, rows: Tensor, length: int) -> StepOutput:
        said = None if self.phones is None else self.phones[rows, self.state.phone[rows]]
        logits, ended = self.run(self.state, self.cache.layers, self.cache.plan(rows, length))
        at = self.cache.index(rows)
        codes = self.sampling.draw(logits, at)
        self.code[at] = codes
        self.cache.advance(rows)
        units = None if said is None else said * self.config.n_codes + codes
        return StepOutput(codes, ended, units)

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
        self.code[slot] = self.config.bos
        self.state.phone[slot] = 0
        self.state.last[slot] = count - 1
        self.state.stay[slot] = 0
        self.state.survival[slot] = 1.0
