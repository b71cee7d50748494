"""The velocity network and the solver against the golden set."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deployments.contract.errors import CheckpointError
from deployments.families.gpt_sovits.cfm.dit import PUBLISHED_RATES, Dit, modulated
from deployments.families.gpt_sovits.cfm.solver import Rows, solve
from tests.families.gpt_sovits.cfm.parts import VERSIONS, GoldenSet

ATOL = 3e-5
STEPS = (4, 5, 8, 32)  # of the golden set: 5 is none that a request may ask for

pytestmark = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(scope="module")
def nets(whole_set: GoldenSet) -> dict[str, Dit]:
    return {version: whole_set.dit(version).prepare(STEPS) for version in VERSIONS}


def close(found: Tensor, stored: Tensor, atol: float = ATOL) -> None:
    torch.testing.assert_close(found, stored, rtol=0, atol=atol)


def example(whole_set: GoldenSet, version: str) -> tuple[Tensor, Tensor, Tensor]:
    """Features, prompt and mel of the rows "net.*", (2, 48, _) each."""
    features = whole_set.tensors("enc")[f"{version}.fea"].T
    prompt = torch.zeros(2, 48, 100)
    prompt[:, :20] = whole_set.tensors("cfm")[f"{version}.net.prompt"].T
    mel = torch.stack([whole_set.noise(0, row, 48) for row in (0, 1)])
    return torch.stack([features[:48], features[40:88]]), prompt, mel


def rows(whole_set: GoldenSet, version: str) -> Rows:
    """The one of "solve.*"."""
    stored = whole_set.tensors("cfm")
    features = whole_set.tensors("enc")[f"{version}.fea"].T[:40]
    features = torch.cat([stored[f"{version}.solve.mu_prompt"].T, features])[None]
    frames = features.shape[1]
    prompt = F.pad(stored[f"{version}.solve.prompt"].T, (0, 0, 0, 40))[None]
    new = (torch.arange(frames) >= 30).float()[None, :, None]
    return Rows(features, prompt, whole_set.noise(0, 0, frames)[None], new, None)


def test_time_and_step_are_embedded_as_published(whole_set: GoldenSet, version: str) -> None:
    net, stored = whole_set.dit(version), whole_set.tensors("cfm")
    close(net.time_embed(torch.tensor([0.375]))[0], stored[f"{version}.net.time_embed"])
    close(net.d_embed(torch.tensor([0.125]))[0], stored[f"{version}.net.d_embed"])


def test_every_layer_is_the_published_one(whole_set: GoldenSet, nets: dict[str, Dit], version: str) -> None:
    net, stored = nets[version], whole_set.tensors("cfm")
    features, prompt, mel = example(whole_set, version)
    close(net.text_embed(features, None)[0], stored[f"{version}.net.text_embed"])
    still, modulation = net.still(features, prompt, None), net.plans[8][3]
    x = net.input_embed.project(mel, still)
    close(x[0, :16], stored[f"{version}.net.input_proj"])
    x = net.input_embed.positioned(x, None)
    close(x[0], stored[f"{version}.net.input_embed"])
    block, cos, sin = net.blocks[0], net.cos[:48], net.sin[:48]
    attended = block.attn(modulated(x, modulation[1], modulation[0]), cos, sin, None)
    close(attended[0], stored[f"{version}.net.block0_attn"])
    close(block(x, modulation[:6], cos, sin, None)[0], stored[f"{version}.net.block0"])
    close(net(mel, still, modulation, None).transpose(1, 2), stored[f"{version}.net.v"])


def test_without_features_and_prompt_it_is_the_unconditional_branch(
    whole_set: GoldenSet, nets: dict[str, Dit], version: str
) -> None:
    net = nets[version]
    features, prompt, mel = (part[:1] for part in example(whole_set, version))
    still = net.still(torch.zeros_like(features), torch.zeros_like(prompt), None)
    velocity = net(mel, still, net.plans[8][3], None)[0]
    close(velocity.T, whole_set.tensors("cfm")[f"{version}.net.v_uncond"])


@pytest.mark.parametrize("steps", STEPS)
def test_a_solution_is_the_published_one(
    whole_set: GoldenSet, nets: dict[str, Dit], version: str, steps: int
) -> None:
    found = solve(nets[version], rows(whole_set, version), steps)[0, 30:]
    close(found.T, whole_set.tensors("cfm")[f"{version}.solve.n{steps}"])


@pytest.mark.parametrize("steps", [4, 8, 32])
def test_with_guidance_it_is_the_published_one(
    whole_set: GoldenSet, nets: dict[str, Dit], version: str, steps: int
) -> None:
    """Nothing asks for guidance, but the golden set has it, and it checks the network at another place."""
    net, given = nets[version], rows(whole_set, version)
    with_it, without = (net.still(factor * given.features, factor * given.prompt, None) for factor in (1, 0))
    mel = given.noise * given.new
    for modulation in net.plans[steps]:
        velocity, free = (net(mel, still, modulation, None) for still in (with_it, without))
        mel = mel + given.new / steps * (velocity + 0.7 * (velocity - free))
    close(mel[0, 30:].T, whole_set.tensors("cfm")[f"{version}.solve.n{steps}_cfg0.7"])


def test_torchs_own_noise_gives_the_published_solution(
    whole_set: GoldenSet, nets: dict[str, Dit], version: str
) -> None:
    stored, given = whole_set.tensors("cfm"), rows(whole_set, version)
    noise = torch.randn(1, 100, 70, generator=torch.Generator().manual_seed(1234))
    close(noise[0, :4, :16], stored[f"{version}.seeded.noise_head"], 0)
    found = solve(nets[version], given._replace(noise=noise.transpose(1, 2)), 4)[0, 30:46]
    close(found.T, stored[f"{version}.seeded.n4"])


def test_padding_and_the_other_rows_do_not_matter(
    whole_set: GoldenSet, nets: dict[str, Dit], version: str
) -> None:
    given = rows(whole_set, version)
    frames = given.features.shape[1]
    alone = solve(nets[version], given, 8)

    def padded(x: Tensor, value: float, other: float) -> Tensor:
        """In a batch with a longer row."""
        longer = torch.full((1, frames + 26, x.shape[2]), other)
        return torch.cat([longer, F.pad(x, (0, 0, 0, 26), value=value)])

    mask = (torch.arange(frames + 26) < frames)[:, None]
    batch = Rows(
        padded(given.features, 7.0, -0.3),
        padded(given.prompt, 0.0, 0.0),
        padded(given.noise, 3.0, 0.5),
        padded(given.new, 0.0, 1.0),
        torch.stack([torch.ones_like(mask), mask]).float(),
    )
    found = solve(nets[version], batch, 8)[1]
    close(found[:frames], alone[0], 1e-5)
    assert not found[frames:].any()


def test_steps_are_calls_of_one_shape(whole_set: GoldenSet, nets: dict[str, Dit], version: str) -> None:
    """So one CUDA graph serves every number of them."""
    given, seen = rows(whole_set, version), []

    def call(key, function, inputs):
        seen.append((key, {name: value.shape for name, value in inputs.items()}))
        return function(inputs)

    solve(nets[version], given, 8, call)
    solve(nets[version], given, 4, call)
    steps = [entry for entry in seen if entry[0][0] == "step"]
    assert len(steps) == 12 and all(entry == steps[0] for entry in steps)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float16, 0.01), (torch.bfloat16, 0.06)])
def test_half_precision_stays_near(
    whole_set: GoldenSet, version: str, dtype: torch.dtype, atol: float
) -> None:
    """The mel, whose numbers are about 1.4: fp16 is what the decoder uses on a GPU."""
    net = whole_set.dit(version).prepare((8,), dtype)
    found = solve(net, rows(whole_set, version), 8)[0, 30:]
    close(found.T, whole_set.tensors("cfm")[f"{version}.solve.n8"], atol)


def test_rates_of_rotation_that_a_file_lacks_are_the_published_ones(
    whole_set: GoldenSet, version: str
) -> None:
    tensors = whole_set.weights(version)
    stored = tensors.pop("cfm.estimator.rotary_embed.inv_freq")
    close(PUBLISHED_RATES, stored, 0)
    close(Dit.load(tensors, "s2.pth").rotary_embed["inv_freq"], stored, 0)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("proj_out.weight", None, "cfm.estimator.proj_out.weight is missing"),
        ("proj_out.weight", torch.zeros(80, 64), "must be (100, a multiple of 64)"),
        ("proj_out.weight", torch.zeros(100), "is not a matrix"),
        ("transformer_blocks.0.attn.to_q.bias", None, "transformer_blocks.0.attn.to_q.bias is missing"),
        ("time_embed.time_mlp.0.weight", torch.zeros(3, 3), "time_mlp.0.weight is (3, 3), the config wants"),
        ("extra.weight", torch.zeros(1), "the config has no such tensor"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_tensor(
    whole_set: GoldenSet, version: str, name: str, value: Tensor | None, complaint: str
) -> None:
    tensors = whole_set.weights(version)
    tensors.pop(f"cfm.estimator.{name}", None)
    if value is not None:
        tensors[f"cfm.estimator.{name}"] = value
    with pytest.raises(CheckpointError, match=re.escape(complaint)) as raised:
        Dit.load(tensors, "s2.pth")
    assert str(raised.value).startswith("s2.pth: ")
