"""The GPT-2 trunk of IndexTTS 1.x with the engine's cache: weights, the prefix, one step.

Linear layers are stored input-major (y = x W + b) and transposed once. `deployments/engine/invariant.py` makes the rows
of a step bit-identical in every batch.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.engine.decode.kv_cache import KVCache
from deployments.engine.invariant import Head, Linear, Norm
from deployments.families.checkpoint import Tensors, check_shapes
from deployments.families.indextts.config import MARGIN, IndexConfig

ELSEWHERE = ("conditioning_encoder.", "perceiver_encoder.")  # what the voice encoder reads of the same file
BUFFERS = (".attn.bias", ".attn.masked_bias")  # of old releases of the training library
KeysValues = tuple[Tensor, Tensor]


def expected_shapes(config: IndexConfig) -> dict[str, tuple[int, ...]]:
    """The name and shape of every tensor of the trunk."""
    gpt = config.gpt
    width, codes, pieces = gpt.model_dim, gpt.number_mel_codes, gpt.number_text_tokens + 1
    shapes: dict[str, tuple[int, ...]] = {
        "text_embedding.weight": (pieces, width),
        "text_pos_embedding.emb.weight": (gpt.max_text_tokens + 2, width),
        "mel_embedding.weight": (codes, width),
        "mel_pos_embedding.emb.weight": (gpt.max_mel_tokens + MARGIN, width),
        "mel_head.weight": (codes, width),
        "mel_head.bias": (codes,),
        "text_head.weight": (pieces, width),
        "text_head.bias": (pieces,),
    }
    norms = ["gpt.ln_f", "final_norm"]
    for layer in range(gpt.layers):
        block = f"gpt.h.{layer}"
        norms += [f"{block}.ln_1", f"{block}.ln_2"]
        for name, inputs, outputs in (
            ("attn.c_attn", width, 3 * width),
            ("attn.c_proj", width, width),
            ("mlp.c_fc", width, 4 * width),
            ("mlp.c_proj", 4 * width, width),
        ):
            shapes[f"{block}.{name}.weight"] = (inputs, outputs)
            shapes[f"{block}.{name}.bias"] = (outputs,)
    for norm in norms:
        shapes[f"{norm}.weight"] = shapes[f"{norm}.bias"] = (width,)
    return shapes


class Weights:
    """Moves the checkpoint's tensors to the device one at a time, so that the file is never copied as a whole."""

    def __init__(self, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> None:
        self.tensors, self.device, self.dtype = tensors, device, dtype

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name].to(self.device, self.dtype)

    def norm(self, name: str) -> Norm:
        return Norm(self[f"{name}.weight"], self[f"{name}.bias"])

    def linear(self, name: str) -> Linear:
        return Linear(self[f"{name}.weight"].t().contiguous(), self[f"{name}.bias"])


class Block:
    """One layer's weights: x += merge(attention(project(norm_1 x))); x += narrow(gelu(widen(norm_2 x)))."""

    def __init__(self, layer: int, weights: Weights) -> None:
        name = f"gpt.h.{layer}"
        self.norm_1, self.norm_2 = weights.norm(f"{name}.ln_1"), weights.norm(f"{name}.ln_2")
        self.project, self.merge, self.widen, self.narrow = (
            weights.linear(f"{name}.{part}")
            for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
        )

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """x, attended: (B, M) -> (B, M)"""
        x = x + self.merge(attended)
        return x + self.narrow(F.gelu(self.widen(self.norm_2(x)), approximate="tanh"))


class GptNet:
    """Raises ConfigError if a tensor is missing, unexpected, or differs from the config in shape."""

    def __init__(
        self, tensors: Mapping[str, Tensor], config: IndexConfig, device: torch.device, dtype: torch.dtype
    ) -> None:
        own: Tensors = {
            name: tensor
            for name, tensor in tensors.items()
            if not name.startswith(ELSEWHERE) and not name.endswith(BUFFERS)
        }
        check_shapes(expected_shapes(config), own, config.gpt_checkpoint)
        weights = Weights(own, device, dtype)
        self.config, self.heads = config, config.gpt.heads
        self.text_embedding = weights["text_embedding.weight"]
        self.text_places = weights["text_pos_embedding.emb.weight"]
        self.mel_embedding = weights["mel_embedding.weight"]
        self.mel_places = weights["mel_pos_embedding.emb.weight"]
        self.blocks = [Block(layer, weights) for layer in range(config.gpt.layers)]
        self.norm, self.final_norm = weights.norm("gpt.ln_f"), weights.norm("final_norm")
        self.mel_head = Head(weights["mel_head.weight"], weights["mel_head.bias"])
        self.row_multiple = max(block.project.row_multiple for block in self.blocks)

    def embed_text(self, ids: Tensor) -> Tensor:
        """int64 (T,) without start and stop -> (T + 2, M) with them."""
        gpt = self.config.gpt
        start, stop = ids.new_tensor([gpt.start_text_token]), ids.new_tensor([gpt.stop_text_token])
        return self.text_embedding[torch.cat([start, ids, stop])] + self.text_places[: len(ids) + 2]

    def embed_mel(self, codes: Tensor, places: Tensor) -> Tensor:
        """codes, places: int64 (B,) -> (B, M). Places are clamped, because the scratch row exceeds the table."""
        return self.mel_embedding[codes] + self.mel_places[places.clamp(max=len(self.mel_places) - 1)]

    def prefix(self, x: Tensor, before: Sequence[KeysValues] | None = None) -> Iterator[KeysValues]:
        """Yields for each layer the keys and values of `before` followed by those of x, causal: (P + T, H, d) each.

        x: (T, M). before: for each layer, the keys and values of the preceding positions, (P, H, d) each. There is no
        hidden state to return, because sampling begins with the start token.
        """
        known = 0 if before is None else len(before[0][0])
        seen = torch.ones(len(x), known + len(x), dtype=torch.bool, device=x.device).tril(known)
        for layer, block in enumerate(self.blocks):
            q, k, v = self._heads(block.project(block.norm_1(x))).unbind(1)  # (T, H, d)
            if before is not None:
                k, v = (torch.cat(parts) for parts in zip(before[layer], (k, v), strict=True))
            yield k, v
            if layer < len(self.blocks) - 1:  # the last layer's output is not used
                q, k, v = (part.transpose(0, 1).unsqueeze(0) for part in (q, k, v))  # (1, H, T, d)
                mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)[0]
                x = block.finish(x, mixed.transpose(0, 1).flatten(1))

    def step(self, x: Tensor, cache: KVCache, rows: Tensor, length: int) -> Tensor:
        """One position of each row: x (B, M) -> final hidden states (B, M). Writes keys and values to the cache."""
        count = len(rows)
        x = F.pad(x, (0, 0, 0, -count % self.row_multiple))  # once for all linear layers
        for layer, block in enumerate(self.blocks):
            qkv = self._heads(block.project(block.norm_1(x))[:count])
            cache.write(layer, rows, qkv[:, 1:])
            mixed = cache.attend(layer, qkv[:, 0], rows, length).flatten(1)
            x = block.finish(x, F.pad(mixed, (0, 0, 0, len(x) - count)))
        return self.final_norm(self.norm(x))[:count]

    def _heads(self, projected: Tensor) -> Tensor:
        """(B, 3M) -> queries, keys, values (B, 3, H, d)"""
        return projected.unflatten(-1, (3, self.heads, -1))
