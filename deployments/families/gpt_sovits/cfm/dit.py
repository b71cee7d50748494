"""The velocity network of v3 and v4: a diffusion transformer over the frames of a prompt and of new speech.

Only the step's modulation and the mel change from step to step. The features, the prompt's mel and their part of the
input projection are computed once for each solution, the modulation once for each number of steps. With those, LN(h)
(1 + scale) + shift is a layer norm with that weight and bias.

Rows may be padded at their end. `mask` (B, T, 1) is 1 on a row's own frames, and None if all are. Where frames mix
(convolutions, the norm over time and attention), padding counts as absent, so a row's result does not depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.contract.errors import CheckpointError
from deployments.engine.invariant import lay_out, multiply
from deployments.families.checkpoint import fill, part_of
from deployments.families.gpt_sovits.cfm.embeddings import (
    EPS,
    POSITIONS,
    InputEmbedding,
    Mask,
    StepEmbedding,
    TextEmbedding,
)
from deployments.families.gpt_sovits.cfm.layout import MELS

HEAD = 64  # channels of an attention head
# of rotation, rounded to fp16 as training writes them to its files
PUBLISHED_RATES = (10000.0 ** (-torch.arange(0, HEAD, 2) / HEAD)).half().float()
PREFIX = "cfm.estimator."
_LAYERS = "transformer_blocks"


@dataclass(frozen=True, slots=True)
class DitShape:
    """The network's size, as the tensors have it."""

    mels: int
    text: int
    text_blocks: int
    dim: int
    depth: int
    ff: int

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], file: str) -> Self:
        """Raises CheckpointError if a tensor that decides is missing or of a size that cannot be."""
        try:
            mels, dim = tensors["proj_out.weight"].shape
            text = tensors["text_embed.text_blocks.0.dwconv.weight"].shape[0]
            ff = tensors["transformer_blocks.0.ff.ff.0.0.weight"].shape[0]
        except KeyError as error:
            raise CheckpointError(f"{file}: {PREFIX}{error.args[0]} is missing") from None
        except (ValueError, IndexError):
            raise CheckpointError(f"{file}: {PREFIX}proj_out.weight is not a matrix") from None
        if mels != MELS or dim % HEAD or not dim:
            raise CheckpointError(
                f"{file}: {PREFIX}proj_out.weight is ({mels}, {dim}), must be ({MELS}, a multiple of {HEAD})"
            )
        return cls(mels, text, _blocks(tensors, "text_embed.text_blocks"), dim, _blocks(tensors, _LAYERS), ff)


def _blocks(tensors: Mapping[str, Tensor], name: str) -> int:
    return len({key.split(".")[name.count(".") + 1] for key in tensors if key.startswith(f"{name}.")})


class Attention(nn.Module):
    """Full attention of each frame over all: (B, T, D) -> same. Only the first head knows positions, by rotation."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.heads = dim // HEAD
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))
        self.joint: nn.Module | None = None  # of all three, once prepared
        self.to_out = nn.Sequential(nn.Linear(dim, dim))

    def prepare(self) -> None:
        """Queries, keys and values become one product."""
        parts = [self.to_q, self.to_k, self.to_v]
        del self.to_q, self.to_k, self.to_v
        joint = nn.utils.skip_init(nn.Linear, parts[0].in_features, 3 * parts[0].out_features)
        joint.weight = nn.Parameter(torch.cat([part.weight.detach() for part in parts]), requires_grad=False)
        joint.bias = nn.Parameter(torch.cat([part.bias.detach() for part in parts]), requires_grad=False)
        self.joint = joint

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, bias: Tensor | None) -> Tensor:
        """bias: (B, 1, 1, T), added to the scores."""
        assert self.joint is not None
        both = self.joint(x).unflatten(-1, (3, self.heads, HEAD))
        first = both[:, :, :2, 0]  # (B, T, queries and keys, 64)
        first.copy_(rotated(first, cos[:, None], sin[:, None]))
        q, k, v = both.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, T, 64)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.to_out(mixed.transpose(1, 2).flatten(2))


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns each pair (a, b) of neighbouring channels: (a cos - b sin, b cos + a sin)."""
    turned = torch.stack([-x[..., 1::2], x[..., 0::2]], -1).flatten(-2)
    return x * cos + turned * sin


class Linear(nn.Module):
    """A linear layer under the name "linear"."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)


class LaidOut(nn.Module):
    """The product of a linear layer on a CPU in fp32. Its weight is kept as oneDNN reads it: a quarter faster."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """weight: from `lay_out`."""
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x: Tensor) -> Tensor:
        return multiply(x, self.weight, self.bias)


def _lay_out_all(net: nn.Module) -> None:
    """Replaces every linear layer in `net`, if this machine has oneDNN."""
    for name, part in list(net.named_children()):
        if not isinstance(part, nn.Linear):
            _lay_out_all(part)
        elif (weight := lay_out(part.weight.detach())) is not None:
            setattr(net, name, LaidOut(weight, part.bias.detach()))


class FeedForward(nn.Module):
    """(B, T, D) -> same."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        inner = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(approximate="tanh"))
        self.ff = nn.Sequential(inner, nn.Identity(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.ff(x)


class Block(nn.Module):
    """(B, T, D) -> same. modulation: (6, D), of the step."""

    def __init__(self, dim: int, ff: int) -> None:
        super().__init__()
        self.attn_norm = Linear(dim, 6 * dim)
        self.attn = Attention(dim)
        self.ff = FeedForward(dim, ff)

    def forward(self, x: Tensor, modulation: Tensor, cos: Tensor, sin: Tensor, bias: Tensor | None) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation
        x = torch.addcmul(x, gate1, self.attn(modulated(x, scale1, shift1), cos, sin, bias))
        return torch.addcmul(x, gate2, self.ff(modulated(x, scale2, shift2)))


def modulated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """scale has its 1 already."""
    return F.layer_norm(x, x.shape[-1:], scale, shift, EPS)


class Dit(nn.Module):
    """Attribute names match the checkpoint, without `PREFIX`. Call `prepare` once the weights are on their device.

    plans: for each number of steps n, the modulation of step i, (n, 6 depth + 2, D); see `modulation`.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: DitShape) -> None:
        super().__init__()
        self.shape = shape
        self.time_embed, self.d_embed = StepEmbedding(shape.dim), StepEmbedding(shape.dim)
        self.text_embed = TextEmbedding(shape.text, shape.text_blocks)
        self.input_embed = InputEmbedding(shape.mels, shape.text, shape.dim)
        self.rotary_embed = nn.ParameterDict({"inv_freq": torch.zeros(HEAD // 2)})
        self.transformer_blocks = nn.ModuleList(Block(shape.dim, shape.ff) for _ in range(shape.depth))
        self.norm_out = Linear(shape.dim, 2 * shape.dim)
        self.proj_out = nn.Linear(shape.dim, shape.mels)
        self.plans: dict[int, Tensor] = {}

    @property
    def blocks(self) -> list[Block]:
        return cast("list[Block]", list(self.transformer_blocks))

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor], file: str) -> Self:
        """From an s2 file's tensors. Raises CheckpointError naming the first tensor that does not fit."""
        own = part_of(tensors, PREFIX)
        own.setdefault("rotary_embed.inv_freq", PUBLISHED_RATES)
        with torch.device("meta"):
            net = cls(DitShape.of(own, file))
        net.to_empty(device="cpu")
        return fill(net, own, file, PREFIX).eval().requires_grad_(False)

    def modulation(self, steps: int) -> Tensor:
        """Of each step at t = 0, d, 2 d … with d = 1 / steps: (steps, 6 depth + 2, D).

        The rows of a block are shift, 1 + scale and gate of its attention, then of its feed-forward layers; the last
        two are 1 + scale and shift of the output.
        """
        device = self.proj_out.weight.device
        at = torch.tensor([step / steps for step in range(steps)], device=device)
        c = F.silu(self.time_embed(at) + self.d_embed(torch.full_like(at, 1 / steps)))
        rows = [block.attn_norm.linear(c).unflatten(1, (6, -1)) for block in self.blocks]
        for row in rows:
            row[:, 1::3] += 1
        last = self.norm_out.linear(c).unflatten(1, (2, -1))
        last[:, 0] += 1
        return torch.cat([*rows, last], 1)

    @torch.no_grad()
    def prepare(self, steps: Sequence[int], dtype: torch.dtype = torch.float32) -> Self:
        """Makes the tables of the given numbers of steps and drops the layers that they come from: 40 % of the weights.

        dtype: of the transformer. The features' part stays in float32.
        """
        self.plans = {count: self.modulation(count).to(dtype) for count in steps}
        angle = torch.arange(POSITIONS)[:, None] * self.rotary_embed["inv_freq"].cpu()
        device = self.proj_out.weight.device
        for name, value in (("cos", angle.cos()), ("sin", angle.sin())):
            self.register_buffer(name, value.repeat_interleave(2, 1).to(device, dtype), persistent=False)
        del self.time_embed, self.d_embed, self.norm_out, self.rotary_embed
        for block in self.blocks:
            del block.attn_norm
            block.attn.prepare()
        self.text_embed.prepare(device)
        for part in (self.input_embed, self.transformer_blocks, self.proj_out):
            part.to(dtype)
        if device.type == "cpu" and dtype == torch.float32:
            _lay_out_all(self.transformer_blocks)
        return self

    def still(self, features: Tensor, prompt: Tensor, mask: Mask) -> Tensor:
        """What all steps share of the input. features: (B, T, C); prompt: (B, T, mels), 0 after it -> (B, T, D)"""
        text = self.text_embed(features, mask)
        dtype = self.proj_out.weight.dtype
        return self.input_embed.still(prompt.to(dtype), text.to(dtype))

    def forward(self, mel: Tensor, still: Tensor, modulation: Tensor, mask: Mask) -> Tensor:
        """The velocity at `mel`, both (B, T, mels). modulation: (6 depth + 2, D), of the step."""
        x = self.input_embed.project(mel.to(still.dtype), still)
        x = self.input_embed.positioned(x, None if mask is None else mask.to(x.dtype))
        cos, sin = self.cos[: x.shape[1]], self.sin[: x.shape[1]]
        hidden = None if mask is None else _hidden(mask, x.dtype)
        for index, block in enumerate(self.blocks):
            x = block(x, modulation[6 * index : 6 * index + 6], cos, sin, hidden)
        scale, shift = modulation[-2:]
        return self.proj_out(modulated(x, scale, shift))


def _hidden(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, T, 1) -> (B, 1, 1, T): what is added to the scores of keys, -inf where they are padding."""
    keys = mask.transpose(1, 2)[:, None]
    return torch.zeros(keys.shape, dtype=dtype, device=mask.device).masked_fill(keys == 0, float("-inf"))
