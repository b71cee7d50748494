"""The language models of VoxCPM over static slots: each step takes a patch in and gives the next one out.

A step feeds the last patch (or the last token of the prefix) through the patch encoder and both language models, then
solves the flow for the next patch, and reads the stop head. So prefill and decoding meet at one shape, and one CUDA
graph holds a whole step. A code is a patch of latents, float32 (P, D).
"""

from collections.abc import Generator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from cachetools import LRUCache
from torch import Tensor

from deployments.contract.device import Device
from deployments.contract.errors import InvalidInput
from deployments.contract.family import Prefill, StepOutput
from deployments.contract.speech import GptRequest, Sampling
from deployments.engine.decode.kv_cache import KVCache
from deployments.engine.decode.slots import SlotModel
from deployments.engine.noise import normal
from deployments.families.voxcpm.config import VoxConfig
from deployments.families.voxcpm.modes import PROMPT, REFERENCE, Mode
from deployments.families.voxcpm.net import AUDIO_START, REFERENCE_END, REFERENCE_START, VoxNet
from deployments.families.voxcpm.text.tokenizer import Tokenizer
from deployments.families.voxcpm.transformer import KeysValues, Stack

VOICES = 8  # whose embedded patches and prefixes are cached
Result = TypeVar("Result")
Pieces = Generator[None, None, Result]  # of a prefill, with what they compute
Prefixes = tuple[list[KeysValues], list[KeysValues]]  # of the base model and of the residual one


class VoxGpt(SlotModel):
    """Implements GptModel.

    tensors: the state dict of the language model's file; context: positions of a slot; steps: of the diffusion.
    Raises CheckpointError if a tensor does not match the config.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        config: VoxConfig,
        tokenizer: Tokenizer,
        device: Device,
        slots: int,
        *,
        context: int,
        steps: int,
        file: str = "model.safetensors",
    ) -> None:
        super().__init__(device, slots, context, context)
        self.config, self.tokenizer = config, tokenizer
        self.net = VoxNet(tensors, config, self.device, self.dtype, context, steps, file)
        base, self.residual_layer = config.base, config.base.layers
        self.cache = KVCache(
            base.layers + config.residual.layers,
            slots,
            base.kv_heads,
            context,
            base.head_dim,
            self.dtype,
            self.device,
            queries=base.heads // base.kv_heads,
        )
        patch = (config.patch_size, config.feat_dim)
        self.patch = self.per_slot(0.0, torch.float32, *patch)  # what is fed next; zeros before the first
        self.heard = self.per_slot(0, torch.bool, 1)  # whether it is fed; else the mark that begins the sound
        self.seed, self.drawn = self.per_slot(0), self.per_slot(0)
        self.least, self.most = self.per_slot(0), self.per_slot(context)
        self.guidance = self.per_slot(1.0, torch.float32, 1, 1)
        self.start = self.net.embedding[AUDIO_START]  # (H,)
        self.counts = torch.arange(patch[0] * patch[1], device=self.device)
        self.voices: LRUCache[tuple[str, str], Prefixes | Tensor] = LRUCache(2 * VOICES)
        # positions x layers in a piece of a prefill: on a CPU as long as a step, whose work is mostly the flow's
        evaluations = sum(not step.still for step in self.net.decoder.steps)
        step_work = evaluations * 2 * (2 * config.patch_size + 1) * config.dit.layers
        self.piece = step_work if self.device.type == "cpu" else 1 << 30

    def prefill(self, slot: int, request: GptRequest) -> Prefill:
        """Raises InvalidInput if the segment and the voice do not fit into a slot."""
        sampling, prompt = request.sampling, request.prompt
        mode = Mode.of(prompt, sampling.controls)
        ids = self._ids(request.segment.text, mode.transcript)
        sounds = 0 if mode.prompt is None else len(mode.prompt)
        before = 0 if mode.reference is None else len(mode.reference) + 2
        taken = before + len(ids) + sounds - 1  # the first step feeds the last position
        if taken >= self.context:
            raise InvalidInput(
                f"the text and the recording take {taken + 1} positions; a slot has {self.context}"
                " (family.options.max_length)",
                param="input",
            )
        known: Prefixes | None = None
        if mode.reference is not None:
            known = yield from self._reference(prompt.key, mode.reference)
        x = self.net.embedding[self.moved(ids, torch.int64)]  # (T, H)
        if mode.prompt is not None:
            x = torch.cat((x, (yield from self._continued(prompt.key, mode.prompt))))
        heard = torch.arange(len(x) - 1, device=self.device)[:, None] >= len(ids)
        base, residual = yield from self._through(x[:-1], heard, known)
        for layer, (k, v) in enumerate((*base, *residual)):
            self.cache.fill(layer, slot, k, v)
        self._begin(slot, sampling, taken, mode.prompt)
        return taken

    def step(self, rows: Tensor, length: int) -> StepOutput:
        net, heard, last = self.net, self.heard[rows], self.patch[rows]
        encoded = torch.where(heard, net.embed_patches(last), 0)
        hidden = net.base.step(torch.where(heard, encoded, self.start), self.cache, 0, rows, length)
        hidden = torch.where(heard, net.fsq(hidden), hidden)
        mixed = net.residual_input(hidden, encoded)
        residual = net.residual.step(mixed, self.cache, self.residual_layer, rows, length)
        drawn = self.drawn[rows]
        patches = net.decoder(
            net.condition(hidden, residual), last, self.noise(rows, drawn), self.guidance[rows]
        )
        logits = net.stop_logits(hidden)
        done = (logits[:, 1] > logits[:, 0]) & (drawn > self.least[rows])
        done = done | (drawn + 1 >= self.most[rows])
        self.patch[rows] = patches
        self.heard[rows] = torch.ones_like(heard)
        self.drawn[rows] = drawn + 1
        self.drawn[-1] = 0  # scratch has no end
        self.cache.advance(rows)
        return StepOutput(patches, done)

    def noise(self, rows: Tensor, drawn: Tensor) -> Tensor:
        """float32 (B, P, D), a function of each row's seed and step."""
        counters = drawn[:, None] * len(self.counts) + self.counts
        return normal(self.seed[rows][:, None], counters).unflatten(1, self.patch.shape[1:])

    def force(self, slot: int, code: np.ndarray) -> None:
        self.patch[slot] = self.moved(code, torch.float32)

    def wipe(self, slot: int) -> None:
        super().wipe(slot)
        self.patch[slot] = 0

    def _ids(self, text: str, transcript: str | None) -> np.ndarray:
        """The transcript and the text, tokenised together, and the mark behind them."""
        before = "" if transcript is None else self.tokenizer.without_marks(transcript)
        return np.array([*self.tokenizer.encode(before + text), AUDIO_START], np.int64)

    def _begin(self, slot: int, sampling: Sampling, taken: int, prompt: np.ndarray | None) -> None:
        self.cache.set_length(slot, taken)
        self.patch[slot] = 0 if prompt is None else self.moved(prompt[-1], torch.float32)
        self.heard[slot] = prompt is not None
        self.seed[slot] = sampling.seed
        self.drawn[slot] = 0
        self.least[slot] = int(sampling.controls.get("min_len", 2))
        self.most[slot] = int(sampling.controls.get("max_len", self.max_codes))
        self.guidance[slot] = float(sampling.controls.get("cfg_value", 2.0))

    def _continued(self, key: str, patches: np.ndarray) -> Pieces[Tensor]:
        """The patches of a recording as the language model reads them, (T, H), kept for the voice `key`."""
        kept = self.voices.get((key, PROMPT))
        if not isinstance(kept, Tensor):
            kept = self.voices[key, PROMPT] = yield from self._embedded(patches)
        return kept

    def _reference(self, key: str, patches: np.ndarray) -> Pieces[Prefixes]:
        """Keys and values of a reference between its marks, kept for the voice `key`."""
        kept = self.voices.get((key, REFERENCE))
        if not isinstance(kept, tuple):
            sound = yield from self._embedded(patches)
            begin, end = self.net.embedding[[REFERENCE_START]], self.net.embedding[[REFERENCE_END]]
            heard = torch.ones(len(sound) + 2, 1, dtype=torch.bool, device=self.device)
            heard[0] = heard[-1] = False
            kept = yield from self._through(torch.cat((begin, sound, end)), heard, None)
            self.voices[key, REFERENCE] = kept
        return kept

    def _embedded(self, patches: np.ndarray) -> Pieces[Tensor]:
        encoder, parts = self.config.encoder, []
        at_once = max(1, self.piece // (encoder.layers * (self.config.patch_size + 1)))
        for part in self.moved(patches, torch.float32).split(at_once):
            parts.append(self.net.embed_patches(part))
            yield
        return torch.cat(parts)

    def _through(self, x: Tensor, heard: Tensor, before: Prefixes | None) -> Pieces[Prefixes]:
        """Both models' keys and values of `before` followed by those of x (T, H). heard (T, 1): where x is sound."""
        first, second = before or (None, None)
        base, hidden = yield from self._layers(self.net.base, x, first, True)
        hidden = torch.where(heard, self.net.fsq(hidden), hidden)
        mixed = self.net.residual_input(hidden, torch.where(heard, x, 0))
        residual, _ = yield from self._layers(self.net.residual, mixed, second, False)
        return base, residual

    def _layers(
        self, stack: Stack, x: Tensor, before: Sequence[KeysValues] | None, output: bool
    ) -> Pieces[tuple[list[KeysValues], Tensor]]:
        at_once, found, hidden = max(1, self.piece // len(x)), [], x
        for layer, (pair, after) in enumerate(stack.prefix(x, before, output)):
            hidden = after
            if before is not None:
                pair = tuple(torch.cat(parts) for parts in zip(before[layer], pair, strict=True))
            found.append(pair)
            if layer % at_once == at_once - 1:
                yield
        return found, hidden
