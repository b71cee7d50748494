"""GPT part of GPT-SoVITS: the decode step over static slots. A frame is the code itself.

The step feeds the last position of the prefix first, so that every code comes from the same operations. With a
transcript the prefix ends in the codes of the reference. Without one it is the text alone ("reference-free").
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from cachetools import LRUCache
from torch import Tensor

from deployments.contract.device import Device
from deployments.contract.errors import InvalidInput
from deployments.contract.family import Prefill, StepOutput
from deployments.contract.speech import GptRequest, VoicePrompt
from deployments.engine.decode.kv_cache import KVCache
from deployments.engine.decode.slots import SlotModel
from deployments.engine.script import scripted
from deployments.families.gpt_sovits.checkpoints import GptFile
from deployments.families.gpt_sovits.gpt_net import GptNet, layers_of
from deployments.families.gpt_sovits.sampling import PublishedSampling

FEWEST = 11  # codes of a segment before it may end
PROMPT_CODES = 270  # of a reference of 10 s, and of the silence that is added to it
PREFILL = 240  # positions x layers in a piece of a prefill on a CPU: about as long as a step
PREFILL_BF16 = 720  # likewise
VOICES = 8  # whose prompt is kept on the device


class GptSovitsGpt(SlotModel):
    """Implements GptModel.

    max_phones: of a prompt's transcript and a segment together; max_codes: of a segment.
    Raises CheckpointError if the tensors do not match the file's config.
    """

    def __init__(
        self,
        gpt: GptFile,
        tensors: Mapping[str, Tensor],
        device: Device,
        slots: int,
        max_phones: int,
        max_codes: int,
    ) -> None:
        super().__init__(device, slots, max_phones + PROMPT_CODES + max_codes, max_codes)
        self.eos, self.bert_width, self.max_phones = gpt.config.EOS, gpt.bert_width, max_phones
        positions = max(max_phones, PROMPT_CODES + max_codes)
        self.net = GptNet(gpt, tensors, positions, self.device, self.dtype).eval()
        self.run: Callable[..., Tensor] = self.net
        width, heads = self.net.codes.shape[1], gpt.config.head
        # fp16 and not bf16 on a CPU: attention over pages rounds scores to it
        half = self.device.type == "cpu" and self.dtype == torch.bfloat16
        cached = torch.float16 if half else self.dtype
        self.cache = KVCache(layers_of(gpt), slots, heads, self.context, width // heads, cached, self.device)
        self.piece = PREFILL_BF16 if half else PREFILL
        self.sampling = PublishedSampling(slots, self.net.head.width, self.device, steps=max_codes)
        self.prompts: LRUCache[str, tuple[Tensor, Tensor, Tensor]] = LRUCache(VOICES)
        self.code = self.per_slot(0)
        self.fed = self.per_slot(0)  # positions fed by steps so far
        self.place = self.per_slot(0)  # of the first code that is drawn
        self.first = self.per_slot(0.0, self.dtype, width)  # the prefix's last position, embedded

    def compile(self) -> str:
        if self.device.type != "cpu":
            return ""
        self.run, what = scripted(self.net)
        return what

    def prefill(self, slot: int, request: GptRequest) -> Prefill:
        """Raises InvalidInput if the segment has more phones than a slot takes beside those of the prompt."""
        x, codes = self._embedded(request)
        known = codes[:-1]  # the last one is fed by a step, as the last phone is without codes
        layers = (
            max(1, self.piece // (len(x) + len(known))) if self.device.type == "cpu" else len(self.net.blocks)
        )
        for layer, ((k, v), _) in enumerate(self.net.prefix(x, known)):
            if layer and layer % layers == 0:
                yield
            self.cache.fill(layer, slot, k, v)
        taken = len(x) + len(codes) - 1
        self.cache.set_length(slot, taken)
        self.sampling.set(slot, request.sampling)
        assert self.sampling.seen is not None
        self.sampling.seen[slot, self._prompt(request.prompt)[2]] = True
        self.first[slot] = codes[-1] if len(codes) else x[-1]
        self.place[slot] = len(codes)
        self.code[slot] = 0
        self.fed[slot] = 0
        return taken

    def step(self, rows: Tensor, length: int) -> StepOutput:
        fed = self.fed[rows]
        drawn = self.net.embed_codes(self.code[rows].clamp(min=0), (self.place[rows] + fed - 1).clamp(min=0))
        x = torch.where(fed[:, None] == 0, self.first[rows], drawn)
        logits = self.run(x, self.cache.layers, self.cache.plan(rows, length))
        logits[:, self.eos] = logits[:, self.eos].masked_fill(fed < FEWEST, float("-inf"))
        logits = self.sampling.penalise(logits, rows)
        codes = self.sampling.draw_from(logits, rows)
        self.code[rows] = codes
        self.fed[rows] = fed + 1
        self.cache.advance(rows)
        # it ends where the end is the likeliest code, too, whichever was drawn
        ended = (codes == self.eos) | (logits.argmax(-1) == self.eos)
        return StepOutput(codes, ended, None, ~ended)

    def _embedded(self, request: GptRequest) -> tuple[Tensor, Tensor]:
        """Phones (P, D) and codes (N, D) of the prefix."""
        prompt_phones, prompt_bert, prompt_codes = self._prompt(request.prompt)
        own = self.token_ids(request, self.max_phones - len(prompt_phones), "phones")
        bert = self._features(request.segment.features, len(own))
        phones = torch.cat([prompt_phones, own])
        x = self.net.embed_phones(phones, torch.cat([prompt_bert, bert]))
        places = torch.arange(len(prompt_codes), device=self.device)
        return x, self.net.embed_codes(prompt_codes, places)

    def _prompt(self, prompt: VoicePrompt) -> tuple[Tensor, Tensor, Tensor]:
        """Phones int64 (P,), features (P, F) and codes int64 (N,) of a voice, on the device."""
        if prompt.key not in self.prompts:
            phones, codes = (self.moved(prompt.tensors[name], torch.int64) for name in ("phones", "codes"))
            if len(codes) > PROMPT_CODES or len(phones) >= self.max_phones:
                raise InvalidInput(
                    f"a voice of {len(codes)} codes and {len(phones)} phones is too long:"
                    f" at most {PROMPT_CODES} and {self.max_phones - 1}",
                    param="voice",
                )
            bert = self._features(prompt.tensors, len(phones))
            self.prompts[prompt.key] = phones, bert, codes
        return self.prompts[prompt.key]

    def _features(self, features: Mapping[str, np.ndarray], count: int) -> Tensor:
        """(P, F) of `bert`, by `bert_row` where there is one; zeros for a text or a phone without them."""
        bert, row = features.get("bert"), features.get("bert_row")
        if bert is None or not len(bert):
            return torch.zeros(count, self.bert_width, dtype=self.dtype, device=self.device)
        moved = self.moved(bert, self.dtype)
        if row is None:
            return moved
        owner = self.moved(row, torch.int64)
        return torch.where(owner[:, None] >= 0, moved[owner.clamp(min=0)], 0)
