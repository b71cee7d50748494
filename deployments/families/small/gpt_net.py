"""The GPT of the small family: a speaker vector and phones to codes, with a monotonic pointer into the phones.

The sequence is [speaker vector][phones][codes], causal. The input of a code step is the previous code, the phone at the
pointer, and the number of steps spent there. A step yields logits of its code and of the pointer's next move: 0 (stay),
1, 2 or 3 phones, or the end (`duration.py` decodes them). The methods are small, so that the caller can own the cache.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.families.small.config import SmallConfig

STAY, END, N_ADVANCES = 0, 4, 5  # advance classes; 1, 2 and 3 are phones

Rotary = tuple[Tensor, Tensor]


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Rotary position embedding: x (B, H, T, d), cosine and sine (1, T, d / 2) or (B, 1, T, d / 2)."""
    cosine, sine = rotary
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1)


class Block(nn.Module):
    """Pre-norm transformer layer, split around the attention product. `dropout` applies in training only."""

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        dim = config.gpt_dim
        self.heads, self.dropout = config.gpt_heads, 0.0
        self.norm_1 = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, 3 * dim)
        self.merge = nn.Linear(dim, dim)
        self.norm_2 = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, config.gpt_ff)
        self.narrow = nn.Linear(config.gpt_ff, dim)

    def qkv(self, x: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, D) -> query, key, value (B, H, T, D / H), query and key rotated."""
        parts = self.project(self.norm_1(x)).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, H, d)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        return rotate(query, rotary), rotate(key, rotary), value

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """x (B, T, D), attended (B, H, T, D / H) -> (B, T, D)."""
        x = x + F.dropout(self.merge(attended.transpose(1, 2).flatten(2)), self.dropout, self.training)
        y = self.narrow(F.gelu(self.widen(self.norm_2(x))))
        return x + F.dropout(y, self.dropout, self.training)

    def forward(self, x: Tensor, rotary: Rotary, mask: Tensor | None = None) -> Tensor:
        """A whole sequence without a cache: causal, or with a `mask` (B or 1, 1, T, T), True where attended."""
        query, key, value = self.qkv(x, rotary)
        return self.finish(
            x, F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        )


class GptNet(nn.Module):
    """The weights, and the parts of a step."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.gpt_dim
        self.speaker_in = nn.Linear(config.speaker_dim, dim)
        self.phone_embedding = nn.Embedding(config.n_phones, dim, padding_idx=0)
        self.phone_norms = nn.ModuleList([nn.LayerNorm(dim) for _ in range(config.phone_convs)])
        kernel = config.phone_kernel
        self.phone_convs = nn.ModuleList(
            [nn.Conv1d(dim, dim, kernel, padding=kernel // 2) for _ in self.phone_norms]
        )
        self.pace_in = nn.Linear(1, dim, bias=False)
        self.pointer_in = nn.Linear(dim, dim)
        self.stay_embedding = nn.Embedding(config.stay_rows, dim)
        self.code_embedding = nn.Embedding(config.n_codes + 1, dim)  # the last one is bos
        self.blocks = cast("list[Block]", nn.ModuleList([Block(config) for _ in range(config.gpt_layers)]))
        self.norm = nn.LayerNorm(dim)
        self.code_head = nn.Linear(dim, config.n_codes)
        self.advance_head = nn.Linear(dim, N_ADVANCES)

        half = dim // config.gpt_heads // 2
        positions = 1 + config.max_phones + config.max_codes + 1
        rates = 10000.0 ** (-torch.arange(half).double() / half)
        angle = torch.outer(torch.arange(positions).double(), rates)
        self.register_buffer("cosine", torch.cos(angle).float(), persistent=False)  # (positions, d / 2)
        self.register_buffer("sine", torch.sin(angle).float(), persistent=False)

    def rotary(self, positions: Tensor) -> Rotary:
        """Positions (T,) or (B, T) int64 -> cosine, sine for `Block.qkv`."""
        cosine, sine = self.cosine[positions], self.sine[positions]  # (..., T, d / 2)
        return cosine.unsqueeze(-3), sine.unsqueeze(-3)

    def prefix(self, speaker: Tensor, phones: Tensor, pace: Tensor) -> tuple[Tensor, Tensor]:
        """speaker (B, S), phones (B, P) int64, right-padded with 0 -> embeddings (B, 1 + P, D), pointers (B, P, D).

        pace (B,): 2.0 is twice the speaker's usual pace. Embeddings of padding are zero and must be masked in
        attention. The others do not depend on the padding.
        """
        mask = (phones > 0).unsqueeze(-1).to(self.speaker_in.weight.dtype)  # (B, P, 1)
        haste = self.pace_in(torch.log(pace).to(mask.dtype)[:, None, None])
        x = (self.phone_embedding(phones) + haste) * mask
        for norm, conv in zip(self.phone_norms, self.phone_convs, strict=True):
            y = conv((norm(x) * mask).transpose(1, 2)).transpose(1, 2)
            x = (x + F.gelu(y)) * mask
        return torch.cat([self.speaker_in(speaker).unsqueeze(1), x], dim=1), self.pointer_in(x)

    def embed_codes(self, codes: Tensor) -> Tensor:
        """Codes (...) int64, which may be `config.bos` -> (..., D)."""
        return self.code_embedding(codes)

    def embed_stay(self, stay: Tensor) -> Tensor:
        """Steps spent at the current phone (...) int64, 0 on entering it -> (..., D)."""
        return self.stay_embedding(stay.clamp(max=self.config.stay_rows - 1))

    def heads(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Output of the last block (..., D) -> code logits (..., n_codes), advance logits (..., 5), float32."""
        h = self.norm(h)
        return self.code_head(h).float(), self.advance_head(h).float()
