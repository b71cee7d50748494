"""The transformer of all four stacks: pre-norm blocks with grouped-query attention, gated MLPs and rotary positions.

`deployments/engine/invariant.py` makes the rows of a step bit-identical in every batch.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.engine.decode.kv_cache import KVCache
from deployments.engine.invariant import Linear
from deployments.families.voxcpm.config import LmConfig, Shape

Rotary = tuple[Tensor, Tensor]  # cosine and sine, (..., 1, d): they broadcast over heads
KeysValues = tuple[Tensor, Tensor]  # (T, KV, d) each


class Weights:
    """Moves the checkpoint's tensors to the device one at a time, so that the file is never copied as a whole."""

    def __init__(
        self, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype, prefix: str = ""
    ) -> None:
        self.tensors, self.device, self.dtype, self.prefix = tensors, device, dtype, prefix

    def part(self, name: str) -> "Weights":
        return Weights(self.tensors, self.device, self.dtype, f"{self.prefix}{name}.")

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[self.prefix + name].to(self.device, self.dtype)

    def linear(self, *names: str) -> Linear:
        """One product for layers that share their input; biases where the first has one."""
        weight = torch.cat([self[f"{name}.weight"] for name in names])
        biased = f"{self.prefix}{names[0]}.bias" in self.tensors
        bias = torch.cat([self[f"{name}.bias"] for name in names]) if biased else None
        return Linear(weight, bias, once=True)


class RmsNorm:
    """x (..., N) / rms(x) in float32, then times `weight` in the dtype of x."""

    def __init__(self, weight: Tensor, eps: float) -> None:
        self.weight, self.eps = weight, eps

    def __call__(self, x: Tensor) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return (wide * scale).to(x.dtype) * self.weight


class Block:
    """One layer's weights. Queries, keys and values are one product, so are the two halves of the gated MLP."""

    def __init__(self, weights: Weights, shape: Shape, eps: float) -> None:
        self.split = (shape.heads, shape.kv_heads, shape.kv_heads)
        self.head_dim = shape.head_dim
        self.norm_1 = RmsNorm(weights["input_layernorm.weight"], eps)
        self.norm_2 = RmsNorm(weights["post_attention_layernorm.weight"], eps)
        self.project = weights.linear("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        self.merge = weights.linear("self_attn.o_proj")
        self.widen = weights.linear("mlp.gate_proj", "mlp.up_proj")
        self.narrow = weights.linear("mlp.down_proj")

    def heads(self, x: Tensor, rotary: Rotary | None) -> tuple[Tensor, Tensor, Tensor]:
        """x (..., M) -> queries (..., H, d), keys and values (..., KV, d), queries and keys rotated."""
        q, k, v = self.project(self.norm_1(x)).unflatten(-1, (-1, self.head_dim)).split(self.split, -2)
        return (q, k, v) if rotary is None else (rotate(q, rotary), rotate(k, rotary), v)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """x (..., M), attended (..., H, d) -> (..., M)"""
        x = x + self.merge(attended.flatten(-2))
        gate, up = self.widen(self.norm_2(x)).chunk(2, -1)
        return x + self.narrow(F.silu(gate) * up)


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Rotates the halves of x (..., d) in float32."""
    cosine, sine = rotary
    wide = x.float()
    first, second = wide.chunk(2, -1)
    return (wide * cosine + torch.cat((-second, first), -1) * sine).to(x.dtype)


def rotary_table(
    lm: LmConfig, head_dim: int, positions: int, dtype: torch.dtype, device: torch.device
) -> Rotary:
    """Cosine and sine of `positions` positions, (positions, 1, d) float32, rounded to `dtype` as published.

    LongRoPE (Ding et al., 2024, arXiv 2402.13753): the factor of each frequency is the long one if the model's context
    exceeds the original one, which also scales both tables.
    """
    scaling, most = lm.rope_scaling, lm.max_position_embeddings
    original = scaling.original_max_position_embeddings
    factors = scaling.long_factor if most > original else scaling.short_factor
    rates = 1.0 / (lm.rope_theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim))
    ratio = most / original
    scale = math.sqrt(1 + math.log(ratio) / math.log(original)) if ratio > 1 else 1.0
    angle = torch.outer(torch.arange(positions, dtype=torch.float32), 1.0 / torch.tensor(factors)) * rates
    angle = torch.cat((angle, angle), -1).unsqueeze(1)
    return tuple((f(angle) * scale).to(dtype).float().to(device) for f in (torch.cos, torch.sin))  # type: ignore[return-value]


class Stack:
    """Blocks and the final norm of one transformer. rotary: its table, None where it has no positions."""

    def __init__(self, weights: Weights, shape: Shape, eps: float, rotary: Rotary | None) -> None:
        self.shape, self.rotary = shape, rotary
        self.blocks = [Block(weights.part(f"layers.{layer}"), shape, eps) for layer in range(shape.layers)]
        self.norm = RmsNorm(weights["norm.weight"], eps)
        self.row_multiple = max(block.project.row_multiple for block in self.blocks)

    def whole(self, x: Tensor, wanted: slice = slice(None)) -> Tensor:
        """Short sequences that attend to all of themselves: x (N, T, M) -> the positions `wanted`, (N, W, M).

        The last layer computes no more than these.
        """
        rotary = self._at(slice(0, x.shape[1]))
        for block in self.blocks[:-1]:
            q, k, v = block.heads(x, rotary)
            x = block.finish(x, _attend_all(q, k, v))
        last = self.blocks[-1]
        q, k, v = last.heads(x, rotary)
        return self.norm(last.finish(x[:, wanted], _attend_all(q[:, wanted], k, v)))

    def prefix(
        self, x: Tensor, before: Sequence[KeysValues] | None = None, output: bool = True
    ) -> Iterator[tuple[KeysValues, Tensor]]:
        """Yields for each layer the keys and values of x and its output. Causal; x: (T, M).

        before: for each layer, the keys and values of the preceding positions. The last output is normed, and computed
        only if `output`.
        """
        known = 0 if before is None else len(before[0][0])
        rotary = self._at(slice(known, known + len(x)))
        seen = torch.ones(len(x), known + len(x), dtype=torch.bool, device=x.device).tril(known)
        for layer, block in enumerate(self.blocks):
            q, k, v = block.heads(x, rotary)
            last = layer == len(self.blocks) - 1
            if last and not output:
                yield (k, v), x
                return
            all_k, all_v = (
                (k, v) if before is None else map(torch.cat, zip(before[layer], (k, v), strict=True))
            )
            q, all_k, all_v = (part.transpose(0, 1).unsqueeze(0) for part in (q, all_k, all_v))
            mixed = F.scaled_dot_product_attention(q, all_k, all_v, attn_mask=seen, enable_gqa=True)[0]
            x = block.finish(x, mixed.transpose(0, 1))
            yield (k, v), self.norm(x) if last else x

    def step(self, x: Tensor, cache: KVCache, first_layer: int, rows: Tensor, length: int) -> Tensor:
        """One position of each row: x (B, M) -> (B, M). Its layers are those of the cache from `first_layer` on."""
        count = len(rows)
        rotary = self._at(cache.plan(rows).positions)
        x = F.pad(x, (0, 0, 0, -count % self.row_multiple))  # once for all linear layers
        surplus = len(x) - count
        for layer, block in enumerate(self.blocks, first_layer):
            q, k, v = block.heads(x, None)
            q, k, v = q[:count], k[:count], v[:count]
            if rotary is not None:
                q, k = rotate(q, rotary), rotate(k, rotary)
            cache.write(layer, rows, torch.stack((k, v), 1))
            x = block.finish(x, F.pad(cache.attend(layer, q, rows, length), (0, 0, 0, 0, 0, surplus)))
        return self.norm(x)[:count]

    def _at(self, positions: slice | Tensor) -> Rotary | None:
        return None if self.rotary is None else (self.rotary[0][positions], self.rotary[1][positions])


def _attend_all(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q: (N, T, H, d), k, v: (N, S, KV, d) -> (N, T, H, d), without a mask.

    Query heads that share keys and values become further queries of one head, so that nothing is repeated.
    """
    count, shared = q.shape[1], q.shape[2] // k.shape[2]
    q = q.unflatten(2, (-1, shared)).permute(0, 2, 3, 1, 4).flatten(2, 3)  # (N, KV, shared * T, d)
    mixed = F.scaled_dot_product_attention(q, k.transpose(1, 2), v.transpose(1, 2))
    return mixed.unflatten(2, (shared, count)).permute(0, 3, 1, 2, 4).flatten(2, 3)
