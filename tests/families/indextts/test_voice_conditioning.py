"""Conformer and perceiver against the published code's results for the golden checkpoint at each stage."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from deployments.families.checkpoint import fill, part_of, read_tensors
from deployments.families.indextts.config import Conditioning, IndexConfig, read_config
from deployments.families.indextts.conformer import Attention, Conformer
from deployments.families.indextts.perceiver import Perceiver
from deployments.families.indextts.voice import Conditioner
from tests.golden.indextts_set import found

TOLERANCE = {"atol": 1e-4, "rtol": 0}


@pytest.fixture(scope="module")
def config(golden) -> IndexConfig:
    return read_config(golden / "checkpoint")


@pytest.fixture(scope="module")
def facts(expected) -> dict[str, Tensor]:
    return expected("reference")


@pytest.fixture(scope="module")
def conditioner(golden, config: IndexConfig) -> Conditioner:
    tensors = read_tensors(golden / "checkpoint" / config.gpt_checkpoint)
    conditioner = Conditioner(config.gpt)
    for prefix, module in conditioner.named_children():
        fill(module, part_of(tensors, f"{prefix}."), config.gpt_checkpoint)
    return conditioner.eval()


def outputs_of(parts: dict[str, nn.Module], call) -> dict[str, Tensor]:
    """The return value of each of `parts` while `call` runs, and that of `call` as "result"."""
    seen: dict[str, Tensor] = {}
    hooks = []
    for name, part in parts.items():

        def keep(module, inputs, output, name: str = name) -> None:
            seen[name] = output

        hooks.append(part.register_forward_hook(keep))
    with torch.inference_mode():
        seen["result"] = call()
    for hook in hooks:
        hook.remove()
    return seen


@pytest.fixture(scope="module")
def stages(conditioner: Conditioner, facts) -> dict[str, Tensor]:
    conformer, perceiver = conditioner.conditioning_encoder, conditioner.perceiver_encoder
    parts: dict[str, nn.Module] = {
        "cond.embed_out": conformer.embed,
        "cond.encoder_out": conformer,
    }
    for index, block in enumerate(conformer.encoders):
        parts[f"cond.block{index}_out"] = block
    for index, (attend, feed) in enumerate(perceiver.layers):
        parts[f"cond.perceiver{index}_attn"] = attend
        parts[f"cond.perceiver{index}_ff"] = feed
    seen = outputs_of(parts, lambda: conditioner(facts["mel"]))
    seen["cond.pos_emb"] = conformer.embed.pos_enc["pe"][:, : seen["cond.embed_out"].shape[1]]
    return seen


@pytest.mark.parametrize("stage", found("reference", r"cond\.(.*)"))
def test_every_stage_is_the_published_one(stage: str, stages, facts) -> None:
    torch.testing.assert_close(stages[f"cond.{stage}"], facts[f"cond.{stage}"], **TOLERANCE)


def test_the_latents_are_the_published_ones(stages, conditioner: Conditioner, facts) -> None:
    torch.testing.assert_close(stages["result"], facts["cond_latents"], **TOLERANCE)
    with torch.inference_mode():
        short = conditioner(facts["mel"][:, :, : int(facts["cond_masked.lengths"].min())])
    torch.testing.assert_close(short, facts["cond_short.latents"], **TOLERANCE)


def test_attention_in_one_product_equals_the_sum_of_two() -> None:
    generator = torch.manual_seed(3)
    attention = Attention(24, 3).requires_grad_(False)
    for bias in (attention.pos_bias_u, attention.pos_bias_v):
        bias.copy_(torch.randn(bias.shape, generator=generator))
    x, positions = torch.randn(2, 7, 24, generator=generator), torch.randn(1, 7, 24, generator=generator)

    def heads(y: Tensor) -> Tensor:
        return y.unflatten(2, (3, 8)).transpose(1, 2)  # (B, H, T, d)

    q, k, v = (heads(linear(x)) for linear in (attention.linear_q, attention.linear_k, attention.linear_v))
    p = heads(attention.linear_pos(positions))
    u, w = attention.pos_bias_u.unsqueeze(1), attention.pos_bias_v.unsqueeze(1)
    scores = ((q + u) @ k.transpose(2, 3) + (q + w) @ p.transpose(2, 3)) / 8**0.5
    wanted = attention.linear_out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x, positions), wanted, atol=1e-6, rtol=0)


def test_contexts_as_wide_as_the_latents_are_not_projected() -> None:
    assert "proj_context.weight" in Perceiver(64, 32, heads=4, mult=2).state_dict()
    perceiver = Perceiver(64, 64, heads=4, mult=2)
    assert not [name for name in perceiver.state_dict() if name.startswith("proj_context")]
    assert perceiver(torch.randn(2, 5, 64)).shape == (2, 32, 64)


@pytest.mark.parametrize("version", ["1.0", "1.5_inferred"])
def test_names_and_shapes_are_those_of_the_published_files(version: str, shipped) -> None:
    shapes = json.loads((shipped / f"official_shapes_indextts_{version}.json").read_text())["gpt.pth"]
    dim = shapes["mel_embedding.weight"][1]
    module = Conditioning(
        output_size=512,
        linear_units=2048,
        attention_heads=8,
        num_blocks=6,
        input_layer="conv2d2",
        perceiver_mult=2,
    )
    with torch.device("meta"):
        parts = {
            "conditioning_encoder.": Conformer(100, module),
            "perceiver_encoder.": Perceiver(dim, 512, heads=8, mult=2),
        }
    for prefix, part in parts.items():
        ours = {prefix + name: list(tensor.shape) for name, tensor in part.state_dict().items()}
        assert ours == {name: shape for name, shape in shapes.items() if name.startswith(prefix)}
