"""GPT part of IndexTTS 1.x: the decode step over static slots, and the vocoder's latents without a second pass.

The published code decodes codes first, runs the whole GPT a second time over the finished codes, and vocodes the hidden
states of that run: the latents. The GPT is causal, so the decode step itself can compute them. How depends on the
position rule, the row of the table of mel positions with which code k is fed back:

    trained     k + 1, as in training. The state that a code is drawn from is its latent.
    published   k + 2, as the released code decodes. Its second pass uses k + 1, so a slot has two lanes that share the
                prefix: one for drawing codes, one for latents. Both are rows of one batch, and the second lane is
                nearly free if the step is bound by reading the weights.

Surplus silence is dropped as it is drawn (see `Silence`), because a listener hears the sound at once.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from cachetools import LRUCache
from torch import Tensor

from deployments.contract.device import Device
from deployments.contract.family import Prefill, StepOutput
from deployments.contract.speech import GptRequest, Sampling, VoicePrompt
from deployments.engine.decode.kv_cache import KVCache
from deployments.engine.decode.sampling import SamplingState
from deployments.engine.decode.slots import SlotModel
from deployments.families.indextts.config import N_LATENTS, IndexConfig
from deployments.families.indextts.gpt_net import GptNet, KeysValues
from deployments.families.indextts.silence import Silence

PositionRule = Literal["trained", "published"]
MAX_TEXT = 120  # pieces of a segment
VOICES = 8  # whose prefix is cached
PREFILL = 240  # positions x layers in a piece of a prefill on a CPU: about as long as a step
PENALISED = 1  # the published history holds this id once for each position of the prefix


class IndexGpt(SlotModel):
    """Implements GptModel. A frame is the latent (M,) of its code.

    tensors: the state dict of the GPT's file; max_text: the most pieces of a segment that a slot takes.
    Raises ConfigError if a tensor does not match the config.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        config: IndexConfig,
        device: Device,
        slots: int,
        *,
        positions: PositionRule = "trained",
        shrink_silence: bool = True,
        max_text: int = MAX_TEXT,
    ) -> None:
        gpt = config.gpt
        self.config, self.max_text = config, min(max_text, gpt.max_text_tokens)
        super().__init__(device, slots, N_LATENTS + self.max_text + 2 + config.max_codes, config.max_codes)
        self.net = GptNet(tensors, config, self.device, self.dtype)
        self.shift = int(positions == "published")  # of the mel position of every code that is fed back
        self.lanes = 1 + self.shift
        head_dim = gpt.model_dim // gpt.heads
        self.cache = KVCache(
            gpt.layers, slots, gpt.heads, self.context, head_dim, self.dtype, self.device, self.lanes
        )
        self.sampling = SamplingState(slots, self.net.mel_head.width, self.device, steps=self.max_codes)
        self.silence = Silence(slots, self.device, shrink_silence)
        self.voices: LRUCache[str, list[KeysValues]] = LRUCache(VOICES)
        self.code = self.per_slot(gpt.start_mel_token)
        self.fed = self.per_slot(0)  # codes fed so far
        self.heard = self.per_slot(gpt.start_mel_token)  # in the latents' lane, the last kept code
        self.heard_count = self.per_slot(0)

    def prefill(self, slot: int, request: GptRequest) -> Prefill:
        """Raises InvalidInput if the segment has more pieces than a slot takes."""
        x = self.net.embed_text(self.token_ids(request, self.max_text, "pieces"))  # (T, M)
        taken = N_LATENTS + len(x)
        for _ in self._unless_known(request.prompt):
            yield
        layers = self._layers_at_once(len(x))
        for layer, (k, v) in enumerate(self.net.prefix(x, self.voices[request.prompt.key])):
            if layer and layer % layers == 0:
                yield
            self.cache.fill(layer, slot, k, v)
        self._begin(slot, request.sampling, taken)
        return taken

    def step(self, rows: Tensor, length: int) -> StepOutput:
        code, fed = self.code[rows].clamp(min=0), self.fed[rows]
        begun = fed > 0
        kept = self.silence.feed(rows, code)
        lanes = [self.net.embed_mel(code, fed + self.shift * begun)]
        lane_rows = rows
        if self.lanes == 2:
            lane_rows = torch.cat([rows, rows + self.slots + 1])
            lanes.append(self._latent_lane(rows, code, kept & begun))
        x = self.net.step(torch.cat(lanes), self.cache, lane_rows, length)  # (B * lanes, M)
        codes = self.sampling.draw(self.net.mel_head(x[: len(rows)]), rows)

        stopped = codes == self.config.gpt.stop_mel_token
        sounds = self.silence.keeps(rows, codes) & ~stopped
        self.code[rows] = codes
        self.fed[rows] = fed + 1
        self.cache.advance(rows)
        return StepOutput(codes, stopped, x[-len(rows) :].float(), sounds)

    def _latent_lane(self, rows: Tensor, code: Tensor, new: Tensor) -> Tensor:
        """The input of the lane that yields latents: the last kept code at its place among the kept. -> (B, M)"""
        heard = torch.where(new, code, self.heard[rows])
        count = self.heard_count[rows] + new
        self.heard[rows] = heard
        self.heard_count[rows] = count
        self.cache.advance(rows + self.slots + 1, new.long())
        return self.net.embed_mel(heard, count)

    def _begin(self, slot: int, sampling: Sampling, taken: int) -> None:
        start = self.config.gpt.start_mel_token
        self.cache.set_length(slot, taken)
        self.sampling.set(slot, sampling)
        assert self.sampling.seen is not None
        self.sampling.seen[slot, PENALISED] = True
        self.sampling.seen[slot, start] = True
        self.silence.reset(slot)
        self.code[slot] = start
        self.heard[slot] = start
        self.fed[slot] = 0
        self.heard_count[slot] = 0

    def _unless_known(self, prompt: VoicePrompt) -> Iterator[None]:
        """Computes and caches the voice's keys and values, (32, H, d) per layer, yielding between layers."""
        if prompt.key not in self.voices:
            latents = self.moved(prompt.tensors["latents"], self.dtype)
            layers, found = self._layers_at_once(N_LATENTS), []
            for layer, part in enumerate(self.net.prefix(latents)):
                found.append(part)
                if layer % layers == layers - 1:
                    yield
            self.voices[prompt.key] = found

    def _layers_at_once(self, positions: int) -> int:
        """The layers of a prefill between two yields."""
        return max(1, PREFILL // positions) if self.device.type == "cpu" else len(self.net.blocks)
