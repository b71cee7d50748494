"""The GPT in training: code embedding and head share weights over the quantiser's levels.

A code's embedding is the sum of its own row and one row per FSQ dimension and level, and so is its logit. Both are
linear, so `merged()` folds them into the plain tables of the shipped network.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.small.config import SmallConfig
from deployments.families.small.fsq import FSQ
from deployments.families.small.gpt_net import GptNet

ROWS = 128  # of queries at a time


def take(x: Tensor, places: Tensor) -> Tensor:
    """x (B, L, D), places (B, T) -> (B, T, D)."""
    return torch.gather(x, 1, places.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, H, T, d) each -> (B, H, T, d). On a CPU, products in bfloat16 are twice as fast as the fused attention."""
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    query, made = query * query.shape[-1] ** -0.5, []
    for start in range(0, query.shape[2], ROWS):
        stop = min(start + ROWS, query.shape[2])
        scores = (query[:, :, start:stop] @ key[:, :, :stop].transpose(-1, -2)).float()
        later = torch.ones(stop - start, stop, dtype=torch.bool).triu(start + 1)
        weights = scores.masked_fill(later, -math.inf).softmax(-1)
        made.append(weights.to(value.dtype) @ value[:, :, :stop])
    return torch.cat(made, dim=2)


class StructuredGpt(GptNet):
    levels: Tensor

    def __init__(self, config: SmallConfig) -> None:
        super().__init__(config)
        digits = FSQ(config.fsq_levels).digits(torch.arange(config.n_codes))  # (n_codes, Q)
        ones = [F.one_hot(digits[:, q], levels) for q, levels in enumerate(config.fsq_levels)]
        self.register_buffer(
            "levels", torch.cat(ones, dim=1).float(), persistent=False
        )  # (n_codes, sum of levels)
        self.level_embedding = nn.Linear(self.levels.shape[1], config.gpt_dim, bias=False)
        self.level_head = nn.Linear(config.gpt_dim, self.levels.shape[1])
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
        nn.init.normal_(self.code_embedding.weight, std=0.005)
        nn.init.zeros_(self.code_head.weight)
        for block in self.blocks:  # residual branches start small
            nn.init.normal_(block.merge.weight, std=0.02 / (2 * config.gpt_layers) ** 0.5)
            nn.init.normal_(block.narrow.weight, std=0.02 / (2 * config.gpt_layers) ** 0.5)

    def code_table(self) -> Tensor:
        """(n_codes + 1, D)"""
        return self.code_embedding.weight + F.pad(self.levels @ self.level_embedding.weight.t(), (0, 0, 0, 1))

    def embed_codes(self, codes: Tensor) -> Tensor:
        return F.embedding(codes, self.code_table())

    def heads(self, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.norm(h)
        return F.linear(h, *self.code_weights()), self.advance_head(h)

    def code_weights(self) -> tuple[Tensor, Tensor]:
        """The weight (n_codes, D) and bias (n_codes,) of the code head."""
        weight = self.code_head.weight + self.levels @ self.level_head.weight
        return weight, self.code_head.bias + self.levels @ self.level_head.bias

    def forward(
        self,
        speaker: Tensor,
        phones: Tensor,
        pace: Tensor,
        codes: Tensor,
        pointer: Tensor,
        stay: Tensor,
        drop: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """The teacher-forced logits of every code step.

        speaker (B, S), phones (B, P), pace (B,), codes (B, T) shifted (bos first), pointer, stay (B, T)
        -> (B, T, n_codes), (B, T, 5).
        drop: the share of steps whose code is hidden, so that the model relies on phones and speaker.
        """
        x, table = self.prefix(speaker, phones, pace)
        rows = take(table, pointer)  # (B, T, D)
        embedded = self.embed_codes(codes)
        if drop > 0:
            embedded = embedded * (torch.rand(*codes.shape, 1, device=codes.device) >= drop)
        x = torch.cat([x, embedded + rows + self.embed_stay(stay)], dim=1)
        # the codes follow the row's own phones, so that padding is only at the end and causal attention needs no mask
        length, device = x.shape[1], codes.device
        first = 1 + (phones > 0).sum(1, keepdim=True)  # (B, 1): the first code
        place = torch.arange(length, device=device).expand(len(x), -1)
        padding = 1 + phones.shape[1] - first
        x = take(x, torch.where(place < first, place, place + padding).clamp(max=length - 1))
        rotary = self.rotary(place[0])
        for block in self.blocks:
            x = block.finish(x, causal_attention(*block.qkv(x, rotary)))
        return self.heads(take(x, first + torch.arange(codes.shape[1], device=device)))

    @torch.no_grad()
    def merged(self) -> GptNet:
        """The shipped network, equal up to rounding."""
        plain = GptNet(self.config)
        state = {k: v.clone() for k, v in self.state_dict().items() if not k.startswith("level_")}
        state["code_embedding.weight"] = self.code_table().clone()
        state["code_head.weight"], state["code_head.bias"] = self.code_weights()
        plain.load_state_dict(state)
        return plain.eval()
