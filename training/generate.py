"""Reference decoding of the GPT in plain torch: one batch at a time, static KV cache, no serving engine."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.engine.noise import uniform
from deployments.families.small.duration import advance, thresholds
from deployments.families.small.gpt_net import GptNet


def draw(logits: Tensor, temperature: float, top_k: int, seed: Tensor, step: int) -> Tensor:
    """One code per row from (B, n_codes), by the Gumbel trick on counter-based noise; argmax at temperature 0."""
    if temperature == 0:
        return logits.argmax(-1)
    values, codes = logits.topk(top_k, dim=-1)  # (B, K)
    counter = torch.arange(top_k) + step * top_k
    gumbel = -torch.log(-torch.log(uniform(seed.unsqueeze(1), counter)))
    return codes.gather(1, (values / temperature + gumbel).argmax(-1, keepdim=True)).squeeze(1)


@torch.inference_mode()
def generate(
    net: GptNet,
    speaker: Tensor,
    phones: list[Tensor],
    temperature: float = 0.0,
    top_k: int = 25,
    seed: int = 0,
    pace: float = 1.0,
) -> list[Tensor]:
    """speaker (B, S), phones B x (P,) int64 -> codes B x (T,). Row b samples with seed + b."""
    config, size = net.config, len(phones)
    counts = torch.tensor([len(p) for p in phones])
    padded = torch.nn.utils.rnn.pad_sequence(phones, batch_first=True)  # (B, P)
    limit = min(config.max_codes, config.max_stay * padded.shape[1])
    seeds = torch.arange(size) + seed

    x, table = net.prefix(speaker, padded, torch.full((size,), pace))
    width = x.shape[1]
    total = width + limit
    seen = torch.ones(size, total, dtype=torch.bool)
    seen[:, 1:width] = padded > 0
    shape = (size, config.gpt_heads, total, config.gpt_dim // config.gpt_heads)
    cache = [(torch.zeros(shape), torch.zeros(shape)) for _ in net.blocks]
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    mask = ((causal & seen[:, None, :width]) | torch.eye(width, dtype=torch.bool)).unsqueeze(1)
    rotary = net.rotary(torch.arange(width))
    for block, (keys, values) in zip(net.blocks, cache, strict=True):
        query, key, value = block.qkv(x, rotary)
        keys[:, :, :width], values[:, :, :width] = key, value
        x = block.finish(x, F.scaled_dot_product_attention(query, key, value, attn_mask=mask))

    rows = torch.arange(size)
    code, phone = torch.full((size,), config.bos), torch.zeros(size, dtype=torch.int64)
    stay, survival = torch.zeros(size, dtype=torch.int64), torch.ones(size)
    done, lengths, made = torch.zeros(size, dtype=torch.bool), torch.full((size,), limit), []
    heat = torch.full((size,), temperature)
    padding = not bool(seen.all())
    for step in range(limit):
        x = (net.embed_codes(code) + table[rows, phone] + net.embed_stay(stay)).unsqueeze(1)
        rotary, stop = net.rotary(1 + counts.unsqueeze(1) + step), width + step + 1
        mask = seen[:, None, None, :stop] if padding else None
        for block, (keys, values) in zip(net.blocks, cache, strict=True):
            query, key, value = block.qkv(x, rotary)
            keys[:, :, stop - 1 : stop], values[:, :, stop - 1 : stop] = key, value
            attended = F.scaled_dot_product_attention(
                query, keys[:, :, :stop], values[:, :, :stop], attn_mask=mask
            )
            x = block.finish(x, attended)
        code_logits, advance_logits = net.heads(x[:, 0])
        code = draw(code_logits, temperature, top_k, seeds, step)
        made.append(code)
        bound = thresholds(seeds, phone, heat)
        move, survival, ended = advance(
            advance_logits, survival, stay, phone == counts - 1, bound, config.max_stay
        )
        phone = torch.minimum(phone + move, counts - 1)
        stay = torch.where(move > 0, torch.zeros_like(stay), stay + 1)
        survival = torch.where(move > 0, torch.ones_like(survival), survival)
        lengths[ended & ~done] = step + 1
        done |= ended
        if done.all():
            break
    codes = torch.stack(made, dim=1)
    return [codes[b, : lengths[b]] for b in range(size)]
