"""ECAPA against the published code's results for the golden checkpoint, and at its published widths."""

from __future__ import annotations

import json
import math
import zlib

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deployments.contract.errors import ConfigError
from deployments.families.checkpoint import fill, part_of, read_tensors
from deployments.families.indextts.ecapa import Ecapa, EcapaWidths, without_counters

FILE, PREFIX = "bigvgan_generator.pth", "speaker_encoder."


@pytest.fixture(scope="module")
def tensors(golden) -> dict[str, Tensor]:
    return without_counters(part_of(read_tensors(golden / "checkpoint" / FILE), PREFIX))


@pytest.fixture(scope="module")
def facts(expected) -> dict[str, Tensor]:
    return expected("reference")


def loaded(tensors: dict[str, Tensor]) -> Ecapa:
    speaker_dim = tensors["fc.conv.weight"].shape[0]
    return fill(Ecapa(EcapaWidths.of(tensors, FILE), speaker_dim), tensors, FILE, PREFIX).eval()


def test_every_stage_is_the_published_one(tensors, facts) -> None:
    net, seen = loaded(tensors), {}
    parts: dict[str, nn.Module] = {
        "spk.block0": net.blocks[0],
        "spk.block1": net.blocks[1],
        "spk.asp": net.asp,
    }
    for name, part in parts.items():
        part.register_forward_hook(lambda module, inputs, output, name=name: seen.update({name: output}))
    with torch.inference_mode():
        seen["speaker_embedding"] = net(facts["mel"]).unsqueeze(1)
    for name, output in seen.items():
        torch.testing.assert_close(
            output, facts[name], atol=1e-4, rtol=0, msg=lambda text, n=name: f"{n}: {text}"
        )
    assert len(seen) == 4


def recipe(name: str, shape: list[int], seed: int = 11) -> Tensor:
    """The golden set's full-width weights, as defined in golden.md."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    random = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
    if name.endswith("running_var"):
        values = 0.5 + random.rand(*shape)
    elif name.endswith("running_mean"):
        values = 0.2 * random.randn(*shape)
    elif name.endswith("norm.weight"):
        values = 1 + 0.2 * random.randn(*shape)
    elif name.endswith("bias"):
        values = 0.1 * random.randn(*shape)
    else:
        values = random.randn(*shape) / math.sqrt(math.prod(shape[1:]))
    return torch.from_numpy(values)


def test_the_published_widths(shipped, expected, facts) -> None:
    shapes = json.loads((shipped / "official_shapes_indextts_1.0.json").read_text())[f"{FILE}[generator]"]
    wide = {name: recipe(name, shape) for name, shape in shapes.items() if name.startswith(PREFIX)}
    wanted = expected("ecapa_fullwidth")
    assert float(wide[f"{PREFIX}mfa.conv.conv.weight"].sum()) == pytest.approx(
        float(wanted["probe.mfa_weight_sum"]), rel=1e-4
    )
    first = wide[f"{PREFIX}fc.conv.weight"].flatten()[:8].float()
    torch.testing.assert_close(first, wanted["probe.fc_first8"])
    tensors = without_counters(part_of(wide, PREFIX))
    assert EcapaWidths.of(tensors, FILE) == EcapaWidths(512, 128, 1536, 128)
    with torch.inference_mode():
        embedding = loaded(tensors)(facts["mel"])
    torch.testing.assert_close(embedding, wanted["embedding"][0], atol=1e-3, rtol=0)


def test_a_row_of_a_batch_equals_the_row_alone(tensors, facts) -> None:
    net, mel = loaded(tensors), facts["mel"]
    pair = torch.cat([mel, mel.flip(2)])
    with torch.inference_mode():
        together, alone = net(pair), torch.cat([net(pair[:1]), net(pair[1:])])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert (alone[0] - alone[1]).abs().max() > 1e-2


def test_a_constant_sound_has_a_finite_vector(tensors) -> None:
    with torch.inference_mode():
        assert loaded(tensors)(torch.full((1, 100, 40), -5.0)).isfinite().all()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("mfa.conv.conv.weight", None, "speaker_encoder.mfa.conv.conv.weight is missing"),
        ("mfa.conv.conv.weight", torch.zeros(96), "not the shape of a convolution weight"),
        ("blocks.0.conv.conv.weight", torch.zeros(60, 100, 5), "60 channels, not a multiple of 8"),
        ("asp.conv.conv.bias", None, "speaker_encoder.asp.conv.conv.bias is missing"),
        ("fc.conv.bias", torch.zeros(3), r"speaker_encoder.fc.conv.bias is \(3,\)"),
    ],
)
def test_a_mismatched_file_is_named(tensors, name: str, value: Tensor | None, said: str) -> None:
    damaged = {key: tensor for key, tensor in tensors.items() if key != name}
    if value is not None:
        damaged[name] = value
    with pytest.raises(ConfigError, match=said) as caught:
        loaded(damaged)
    assert FILE in caught.value.message
