"""The GPT in training computes what the shipped network does, whatever the padding of the batch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from deployments.families.small.gpt_net import GptNet
from training.gpt_net import ROWS, StructuredGpt, causal_attention
from training.next_voice import NEXT

PHONES, CODES = (5, 12, 9), (30, 17, 24)  # of the rows


@pytest.fixture(scope="module")
def nets() -> tuple[StructuredGpt, GptNet]:
    torch.manual_seed(0)
    net = StructuredGpt(NEXT).eval()
    return net, net.merged()


def row(phones: int, codes: int) -> dict[str, torch.Tensor]:
    """The inputs of one utterance, as a batch of one."""
    moves = torch.randint(0, 2, (1, codes)).cumsum(1).clamp(max=phones - 1)
    return {
        "speaker": torch.randn(1, NEXT.speaker_dim),
        "phones": torch.randint(1, NEXT.n_phones, (1, phones)),
        "pace": 0.8 + 0.4 * torch.rand(1),
        "codes": F.pad(torch.randint(0, NEXT.n_codes, (1, codes - 1)), (1, 0), value=NEXT.bos),
        "pointer": moves,
        "stay": torch.randint(0, 5, (1, codes)),
    }


@torch.no_grad()
def shipped(net: GptNet, one: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of every code step by the parts that the service calls."""
    x, table = net.prefix(one["speaker"], one["phones"], one["pace"])
    steps = net.embed_codes(one["codes"]) + table[:, one["pointer"][0]] + net.embed_stay(one["stay"])
    x = torch.cat([x, steps], dim=1)
    rotary = net.rotary(torch.arange(x.shape[1]))
    for block in net.blocks:
        x = block(x, rotary)
    return net.heads(x[:, 1 + one["phones"].shape[1] :])


def test_padded_rows_have_the_logits_of_the_shipped_network(nets) -> None:
    net, plain = nets
    rows = [row(phones, codes) for phones, codes in zip(PHONES, CODES, strict=True)]
    batch = {name: torch.cat([one[name] for one in rows]) for name in ("speaker", "pace")}
    for name, length in (("phones", max(PHONES)), ("codes", max(CODES)), ("pointer", max(CODES))):
        batch[name] = torch.cat([F.pad(one[name], (0, length - one[name].shape[1])) for one in rows])
    batch["stay"] = torch.cat([F.pad(one["stay"], (0, max(CODES) - one["stay"].shape[1])) for one in rows])
    with torch.no_grad():
        made = net(**batch)
    for index, one in enumerate(rows):
        for logits, wanted in zip(made, shipped(plain, one), strict=True):
            torch.testing.assert_close(logits[index, : CODES[index]], wanted[0], atol=1e-4, rtol=1e-4)


def test_attention_in_pieces_is_attention() -> None:
    query, key, value = torch.randn(3, 2, 2, 2 * ROWS + 7, 8, dtype=torch.float64, requires_grad=True)
    wanted = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    made = causal_attention(query, key, value.float()).double()
    torch.testing.assert_close(made, wanted, atol=1e-5, rtol=1e-5)
