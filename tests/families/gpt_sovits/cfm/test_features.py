"""Mel, features and LoRA against the golden set."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchaudio.transforms import Resample

from deployments.contract.errors import CheckpointError
from deployments.families.gpt_sovits.cfm.dit import Dit
from deployments.families.gpt_sovits.cfm.features import Features
from deployments.families.gpt_sovits.cfm.layout import LAYOUTS
from deployments.families.gpt_sovits.cfm.mel import log_mel, normalised, restored
from deployments.families.gpt_sovits.cfm.solver import solve
from deployments.families.gpt_sovits.checkpoints import read_sovits
from deployments.families.gpt_sovits.lora import merged
from deployments.families.gpt_sovits.vits.encoder import embedded
from deployments.families.gpt_sovits.weights import without_weight_norm
from tests.families.gpt_sovits.cfm.parts import VERSIONS, GoldenSet
from tests.families.gpt_sovits.cfm.test_network import rows

by_version = pytest.mark.parametrize("version", VERSIONS)


def close(found: Tensor, stored: Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(found, stored, rtol=0, atol=atol)


@by_version
def test_the_mel_of_a_reference_is_the_published_one(whole_set: GoldenSet, version: str) -> None:
    (waveform, rate), layout = whole_set.reference(), LAYOUTS[version]
    stored = whole_set.tensors("mel")
    at_rate = waveform if rate == layout.rate else Resample(rate, layout.rate)(waveform)
    if version == "v3":
        close(at_rate[:1024], stored["v3.resampled"], 1e-6)
    mel = normalised(log_mel(at_rate, layout))
    close(mel[:96].T, stored[f"{version}.mel_norm_head"], 5e-3)
    close(mel[-16:].T, stored[f"{version}.mel_norm_tail"], 5e-3)
    close(mel.sum(1), stored[f"{version}.mel_sum_per_frame"], 2e-2)
    close(normalised(restored(mel)), mel, 1e-5)


@by_version
def test_the_features_of_codes_are_the_published_ones(whole_set: GoldenSet, version: str) -> None:
    net, stored = whole_set.features(version), whole_set.tensors("enc")
    codes, phones, speaker = stored["codes"][None], stored["phones"][None], stored[f"{version}.ge"][None]
    latents, _ = net.enc_p.latents(embedded(net.codebook, codes), phones, speaker[..., None])
    close(latents[0], stored[f"{version}.y"])
    close(net.bridged(latents)[0], stored[f"{version}.bridge"])
    close(net(codes, phones, speaker)[0].T, stored[f"{version}.fea"])


@by_version
def test_the_features_of_a_prompt_are_the_published_ones(whole_set: GoldenSet, version: str) -> None:
    net, stored = whole_set.features(version), whole_set.tensors("enc")
    codes, phones = (whole_set.spoken[f"prompt.{name}"][None] for name in ("codes", "phones"))
    found = net(codes, phones, stored[f"{version}.ge"][None])[0].T
    assert [1, *found.shape] == stored[f"{version}.fea_ref_shape"].tolist()
    close(found[:, :32], stored[f"{version}.fea_ref_head"])
    close(found[:, -8:], stored[f"{version}.fea_ref_tail"])
    close(found.sum(0), stored[f"{version}.fea_ref_sum"], 1e-3)
    assert LAYOUTS[version].frames(codes.shape[1]) == found.shape[1]


@by_version
@pytest.mark.parametrize("speed", [0.8, 1.1, 1.25])
def test_at_another_speed_they_are_the_published_ones(
    whole_set: GoldenSet, version: str, speed: float
) -> None:
    """A last frame that is 0, as the published mask makes it at some speeds, is 0 here too."""
    net, stored = whole_set.features(version), whole_set.tensors("enc")
    codes, phones = stored["codes"][None], stored["phones"][None]
    found = net(codes, phones, stored[f"{version}.ge"][None], speed)[0].T
    assert [1, *found.shape] == stored[f"{version}.fea_speed{speed}_shape"].tolist()
    tail = stored[f"{version}.fea_speed{speed}_tail"]
    close(found[:, -12:], tail)
    assert bool((found[:, -1] == 0).all()) is bool((tail[:, -1] == 0).all())
    assert LAYOUTS[version].frames(codes.shape[1], speed) == found.shape[1]


@by_version
def test_the_timbre_of_a_reference_is_the_published_one(whole_set: GoldenSet, version: str) -> None:
    close(whole_set.speaker(version), whole_set.tensors("enc")[f"{version}.ge"])


def lora_tensors(whole_set: GoldenSet) -> dict[str, Tensor]:
    lora = read_sovits(whole_set.bundle / "s2_v4_lora.pth")
    assert lora.version == "v4" and lora.lora_rank == 4
    return merged(whole_set.file("v4").tensors(), lora.tensors(), lora.lora_rank, lora.name)


def test_a_lora_file_is_merged_as_published(whole_set: GoldenSet) -> None:
    stored, tensors = whole_set.tensors("lora"), lora_tensors(whole_set)
    for layer in ("to_q", "to_out"):
        name = "to_out.0" if layer == "to_out" else layer
        weight = tensors[f"cfm.estimator.transformer_blocks.0.attn.{name}.weight"]
        assert weight.dtype == torch.float32
        close(weight[:8], stored[f"v4.{layer}_merged"], 1e-5)
    plain, inputs = without_weight_norm(tensors, "s2"), whole_set.tensors("enc")
    net = Features.load(whole_set.file("v4"), plain, LAYOUTS["v4"])
    features = net(inputs["codes"][None], inputs["phones"][None], stored["v4.ge"][None])
    close(features[0, :32].T, stored["v4.fea_head"])


def test_a_lora_file_speaks_as_published(whole_set: GoldenSet) -> None:
    """With the features of the merged file, and those of a prompt from the merged file as well."""
    plain = without_weight_norm(lora_tensors(whole_set), "s2")
    stored, inputs = whole_set.tensors("lora"), whole_set.tensors("enc")
    net = Features.load(whole_set.file("v4"), plain, LAYOUTS["v4"])
    speaker = stored["v4.ge"][None]
    own = net(inputs["codes"][None], inputs["phones"][None], speaker)[0, :40]
    prompt = net(whole_set.spoken["prompt.codes"][None], whole_set.spoken["prompt.phones"][None], speaker)[
        0, -30:
    ]
    given = rows(whole_set, "v4")
    dit = Dit.load(plain, "s2_v4_lora.pth").prepare((8,))
    found = solve(dit, given._replace(features=torch.cat([prompt, own])[None]), 8)
    close(found[0, 30:].T, stored["v4.solve.n8"])


def test_a_lora_file_needs_its_own_base(whole_set: GoldenSet) -> None:
    lora = read_sovits(whole_set.bundle / "s2_v4_lora.pth")
    with pytest.raises(CheckpointError, match=r"s2_v4_lora.pth: .* needs a base whose .* is \(40, 32\)"):
        merged(whole_set.file("v3").tensors(), lora.tensors(), 4, lora.name)


def test_a_lora_file_without_a_base_is_none(whole_set: GoldenSet) -> None:
    lora = read_sovits(whole_set.bundle / "s2_v4_lora.pth")
    with pytest.raises(CheckpointError, match="which its base does not have"):
        merged({}, lora.tensors(), 4, lora.name)


@pytest.mark.parametrize("half", ["lora_A", "lora_B"])
def test_half_of_a_pair_is_refused(whole_set: GoldenSet, half: str) -> None:
    lora = read_sovits(whole_set.bundle / "s2_v4_lora.pth")
    tensors = lora.tensors()
    del tensors[next(name for name in tensors if half in name)]
    with pytest.raises(CheckpointError, match=f"has no {half}.default.weight beside it"):
        merged(whole_set.file("v4").tensors(), tensors, 4, lora.name)


def test_a_rank_that_the_factors_do_not_have_is_refused(whole_set: GoldenSet) -> None:
    lora = replace(read_sovits(whole_set.bundle / "s2_v4_lora.pth"), lora_rank=8)
    with pytest.raises(CheckpointError, match="lora_rank is 8"):
        merged(whole_set.file("v4").tensors(), lora.tensors(), 8, lora.name)
