"""A small but real GPT over the engine's own parts."""

from __future__ import annotations

import threading

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from deployments.contract.family import Prefill, StepOutput
from deployments.contract.speech import GptRequest
from deployments.engine import invariant
from deployments.engine.decode.kv_cache import KVCache
from deployments.engine.decode.sampling import SamplingState
from deployments.engine.noise import uniform

LAYERS, WIDTH, HEADS, CODES, TEXT = 2, 64, 4, 60, 40
HEAD = WIDTH // HEADS
PATCH = (2, 8)  # of continuous codes


class TinyGpt:
    """A transformer decoder of random weights: text and a voice vector in, codes out, a head that says stop.

    kv_heads: heads of keys and values, each shared by HEADS / kv_heads query heads.
    """

    def __init__(self, slots: int, context: int, device: torch.device, kv_heads: int = HEADS) -> None:
        self.slots, self.context, self.max_codes = slots, context, context
        make = torch.Generator().manual_seed(7)

        def weight(*shape: int) -> Tensor:
            scale = shape[-1] ** -0.5 if len(shape) > 1 else 0.1
            return (torch.randn(*shape, generator=make) * scale).bfloat16().float().to(device)

        self.text, self.codes, self.places = (
            weight(TEXT, WIDTH),
            4 * weight(CODES, WIDTH),
            weight(context, WIDTH),
        )
        self.heads = (HEADS, kv_heads, kv_heads)
        projected = sum(self.heads) * HEAD
        self.qkv = [invariant.Linear(weight(projected, WIDTH), weight(projected)) for _ in range(LAYERS)]
        self.out = [invariant.Linear(weight(WIDTH, WIDTH), weight(WIDTH)) for _ in range(LAYERS)]
        self.up = [invariant.Linear(weight(4 * WIDTH, WIDTH), weight(4 * WIDTH)) for _ in range(LAYERS)]
        self.down = [invariant.Linear(weight(WIDTH, 4 * WIDTH), weight(WIDTH)) for _ in range(LAYERS)]
        self.head = invariant.Linear(3 * weight(CODES, WIDTH))
        self.stop = invariant.Linear(weight(16, WIDTH))
        self.cache = KVCache(
            LAYERS, slots, kv_heads, context, HEAD, torch.float32, device, queries=HEADS // kv_heads
        )
        self.sampling = SamplingState(slots, CODES, device)
        self.last = torch.zeros(slots + 1, dtype=torch.int64, device=device)
        self.voice = torch.zeros(slots + 1, WIDTH, device=device)
        self.threads: set[int] = set()
        self.compiled, self.stop_above = 0, 1.5

    def compile(self) -> str:
        self.compiled += 1
        return "as it is"

    def prefill(self, slot: int, request: GptRequest) -> Prefill:
        self._note_thread()
        voice = torch.from_numpy(request.prompt.tensors["voice"]).to(self.voice.device)
        ids = torch.from_numpy(request.segment.token_ids).to(self.voice.device)
        x = F.embedding(ids, self.text) + self.places[: len(ids)] + voice
        for layer in range(LAYERS):
            q, k, v = self._heads(layer, x)
            self.cache.fill(layer, slot, k, v)
            yield
            q, k, v = (t.transpose(0, 1) for t in (q, k, v))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=len(k) != len(q))
            x = self._rest(layer, x, mixed.transpose(0, 1).reshape(len(ids), WIDTH))
        self.cache.set_length(slot, len(ids))
        self._begin(slot, request)
        self.voice[slot] = voice
        return len(ids)

    def step(self, rows: Tensor, length: int) -> StepOutput:
        normal = self._hidden(rows, self._embedded(rows), length)
        codes = self.sampling.draw(self.head(normal), rows)
        self.last[rows] = codes
        return StepOutput(codes, self.stop(normal)[:, 0] > self.stop_above)

    def _embedded(self, rows: Tensor) -> Tensor:
        """What the last step of each row drew: (B, WIDTH)"""
        return F.embedding(self.last[rows].clamp_min(0), self.codes)

    def _hidden(self, rows: Tensor, x: Tensor, length: int) -> Tensor:
        self._note_thread()
        x = x + self.places[self.cache.positions[rows]] + self.voice[rows]
        for layer in range(LAYERS):
            q, k, v = self._heads(layer, x)
            self.cache.write(layer, rows, torch.stack((k, v), 1))
            x = self._rest(layer, x, self.cache.attend(layer, q, rows, length).reshape(len(rows), WIDTH))
        self.cache.advance(rows)
        return F.layer_norm(x, (WIDTH,))

    def _begin(self, slot: int, request: GptRequest) -> None:
        self.sampling.set(slot, request.sampling)
        self.last[slot] = 0

    def force(self, slot: int, code: np.ndarray) -> None:
        if not 0 <= int(code) < CODES:
            raise ValueError(f"no code {code}")
        self.last[slot] = int(code)
        self.sampling.force(slot, int(code))

    def wipe(self, slot: int) -> None:
        self.cache.wipe(slot)

    def _heads(self, layer: int, x: Tensor) -> list[Tensor]:
        projected = self.qkv[layer](F.layer_norm(x, (WIDTH,))).unflatten(
            -1, (-1, HEAD)
        )  # (T, heads of all, d)
        return list(projected.split(self.heads, 1))

    def _rest(self, layer: int, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + self.out[layer](mixed)
        return x + self.down[layer](F.gelu(self.up[layer](F.layer_norm(x, (WIDTH,)))))

    def _note_thread(self) -> None:
        self.threads.add(threading.get_ident())


class TinyPatchGpt(TinyGpt):
    """The same with continuous codes: float32 patches (2, 8), a linear map and noise by "warmth"."""

    def __init__(self, slots: int, context: int, device: torch.device, kv_heads: int = HEADS) -> None:
        super().__init__(slots, context, device, kv_heads)
        make = torch.Generator().manual_seed(9)
        size = PATCH[0] * PATCH[1]
        self.embed = invariant.Linear(torch.randn(WIDTH, size, generator=make).bfloat16().float().to(device))
        self.draw = invariant.Linear(
            0.1 * torch.randn(size, WIDTH, generator=make).bfloat16().float().to(device)
        )
        self.patches = torch.zeros(slots + 1, *PATCH, device=device)
        self.drawn = torch.zeros(slots + 1, dtype=torch.int64, device=device)
        self.noise = torch.zeros(slots + 1, context, *PATCH, device=device)

    def step(self, rows: Tensor, length: int) -> StepOutput:
        normal = self._hidden(rows, self.embed(self.patches[rows].flatten(1)), length)
        patches = self.draw(normal).unflatten(1, PATCH) + self.noise[rows, self.drawn[rows]]
        self.patches[rows] = patches
        self.drawn[rows] += 1
        self.drawn[-1] = 0
        return StepOutput(patches, self.stop(normal)[:, 0] > self.stop_above)

    def force(self, slot: int, code: np.ndarray) -> None:
        self.patches[slot] = torch.from_numpy(code)

    def _begin(self, slot: int, request: GptRequest) -> None:
        seed = torch.tensor(request.sampling.seed, device=self.noise.device)
        counts = torch.arange(self.noise[slot].numel(), device=self.noise.device)
        spread = float(request.sampling.controls.get("warmth", 0.5))
        self.noise[slot] = spread * (uniform(seed, counts).reshape(self.noise[slot].shape) - 0.5)
        self.patches[slot] = 0
        self.drawn[slot] = 0
