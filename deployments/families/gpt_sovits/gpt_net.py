"""The GPT of GPT-SoVITS ("T2S") with the engine's cache: a post-norm transformer over phones, then codes.

Phones see all phones, those of the prompt and of the text alike, and no code. A code sees all phones and the codes up
to itself. So no part of the keys and values can be kept from one text to the next.
"""

import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.engine.decode.attention_plan import AttentionPlan, attend, write
from deployments.engine.invariant import Head, Linear, Norm
from deployments.families.checkpoint import check_shapes
from deployments.families.gpt_sovits.checkpoints import GptFile

KeysValues = tuple[Tensor, Tensor]


def expected_shapes(gpt: GptFile) -> dict[str, tuple[int, ...]]:
    """The name and shape of every tensor, from the sizes of a few of them."""
    phones, width = gpt.shapes["ar_text_embedding.word_embeddings.weight"]
    codes = gpt.config.EOS + 1
    shapes: dict[str, tuple[int, ...]] = {
        "bert_proj.weight": (width, gpt.bert_width),
        "bert_proj.bias": (width,),
        "ar_text_embedding.word_embeddings.weight": (phones, width),
        "ar_audio_embedding.word_embeddings.weight": (codes, width),
        "ar_text_position.alpha": (1,),
        "ar_audio_position.alpha": (1,),
        "ar_predict_layer.weight": (codes, width),
    }
    for layer in range(layers_of(gpt)):
        block = f"h.layers.{layer}"
        shapes |= {
            f"{block}.self_attn.in_proj_weight": (3 * width, width),
            f"{block}.self_attn.in_proj_bias": (3 * width,),
        }
        for name, outputs, inputs in (
            ("self_attn.out_proj", width, width),
            ("linear1", 4 * width, width),
            ("linear2", width, 4 * width),
        ):
            shapes |= {f"{block}.{name}.weight": (outputs, inputs), f"{block}.{name}.bias": (outputs,)}
        for norm in ("norm1", "norm2"):
            shapes |= {f"{block}.{norm}.weight": (width,), f"{block}.{norm}.bias": (width,)}
    return shapes


def layers_of(gpt: GptFile) -> int:
    return sum(name.endswith("in_proj_weight") for name in gpt.shapes)


def sinusoids(positions: int, width: int) -> Tensor:
    """pe[p, 2i] = sin(p w_i), pe[p, 2i + 1] = cos(p w_i), w_i = 10000 ** (-2i / width)"""
    rate = torch.exp(torch.arange(0, width, 2).float() * (-math.log(10000.0) / width))
    angle = torch.arange(positions).float()[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class Block(nn.Module):
    """One layer: s = norm_1(s + merge(attention)), s = norm_2(s + narrow(relu(widen s)))."""

    __constants__ = ("heads",)

    def __init__(self, tensors: Mapping[str, Tensor], layer: int, heads: int) -> None:
        super().__init__()
        self.heads = heads

        def both(name: str, joint: str = ".") -> tuple[Tensor, Tensor]:
            name = f"h.layers.{layer}.{name}{joint}"
            return tensors[f"{name}weight"], tensors[f"{name}bias"]

        self.project = Linear(*both("self_attn.in_proj", "_"), once=True)
        self.merge = Linear(*both("self_attn.out_proj"), once=True)
        self.widen, self.narrow = (Linear(*both(name), once=True) for name in ("linear1", "linear2"))
        self.norm_1, self.norm_2 = Norm(*both("norm1")), Norm(*both("norm2"))

    def heads_of(self, x: Tensor) -> Tensor:
        """(B, D) -> queries, keys, values (B, 3, H, d)"""
        return self.project(x).unflatten(-1, (3, self.heads, -1))

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """x, attended: (B, D) -> (B, D)"""
        x = self.norm_1(x + self.merge(attended))
        return self.norm_2(x + self.narrow(torch.relu(self.widen(x))))

    def forward(self, x: Tensor, count: int, layer: Tensor, plan: AttentionPlan) -> Tensor:
        """x (M, D), whose first `count` rows are the batch -> (M, D). Writes to the cache's `layer`."""
        qkv = self.heads_of(x)[:count]
        write(layer, plan, qkv[:, 1:])
        attended = attend(layer, plan, qkv[:, 0]).flatten(1)
        surplus = x.new_zeros((x.shape[0] - count, x.shape[1]))
        return self.finish(x, torch.cat((attended, surplus)))


class GptNet(nn.Module):
    """Raises CheckpointError if a tensor is missing, unexpected, or has another shape than the file's config says.

    positions: of codes, prompt included.
    """

    __constants__ = ("row_multiple",)

    def __init__(
        self,
        gpt: GptFile,
        tensors: Mapping[str, Tensor],
        positions: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        check_shapes(expected_shapes(gpt), tensors, gpt.name, "model.")
        tensors = {name: tensor.to(device, dtype) for name, tensor in tensors.items()}
        self.bert = Linear(tensors["bert_proj.weight"], tensors["bert_proj.bias"], once=True)
        self.phones = tensors["ar_text_embedding.word_embeddings.weight"]
        self.codes = tensors["ar_audio_embedding.word_embeddings.weight"]
        table = sinusoids(positions, self.codes.shape[1]).to(device)
        self.phone_places = (tensors["ar_text_position.alpha"] * table).to(dtype)
        self.code_places = (tensors["ar_audio_position.alpha"] * table).to(dtype)
        blocks = [Block(tensors, layer, gpt.config.head) for layer in range(layers_of(gpt))]
        self.blocks = nn.ModuleList(blocks)
        self.row_multiple = max(block.project.row_multiple for block in blocks)
        head = tensors["ar_predict_layer.weight"]
        self.head = Head(head, head.new_zeros(len(head)))

    @torch.jit.unused
    def embed_phones(self, phones: Tensor, bert: Tensor) -> Tensor:
        """int64 (P,), features (P, F) -> (P, D)"""
        return F.embedding(phones, self.phones) + self.bert(bert) + self.phone_places[: len(phones)]

    def embed_codes(self, codes: Tensor, places: Tensor) -> Tensor:
        """int64 (B,) each -> (B, D). Places are clamped, because the scratch row exceeds the table."""
        places = places.clamp(max=self.code_places.shape[0] - 1)
        return F.embedding(codes, self.codes) + self.code_places[places]

    @torch.jit.unused
    def prefix(self, phones: Tensor, codes: Tensor) -> Iterator[tuple[KeysValues, Tensor]]:
        """Yields each layer's keys and values, (P + N, H, d) each, and its output (P + N, D).

        phones (P, D), codes (N, D): embedded.
        """
        count, x = len(phones), torch.cat([phones, codes])
        seen = torch.ones(len(x), len(x), dtype=torch.bool, device=x.device).tril()
        seen[:count, :count] = True
        for block in self.blocks:
            assert isinstance(block, Block)
            q, k, v = block.heads_of(x).unbind(1)  # (T, H, d)
            heads = (part.transpose(0, 1).unsqueeze(0) for part in (q, k, v))  # (1, H, T, d)
            mixed = F.scaled_dot_product_attention(*heads, attn_mask=seen)[0]
            x = block.finish(x, mixed.transpose(0, 1).flatten(1))
            yield (k, v), x

    def forward(self, x: Tensor, cache: list[Tensor], plan: AttentionPlan) -> Tensor:
        """One position of each row: x (B, D) -> the next codes' logits (B, V). Writes to the cache."""
        count = x.shape[0]
        x = F.pad(x, (0, 0, 0, -count % self.row_multiple))  # once for all linear layers
        for layer, block in enumerate(self.blocks):
            x = block(x, count, cache[layer], plan)
        return self.head(x[:count])
