"""The voice encoder: a recording to a voice prompt, bad recordings, mismatched files."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from deployments.contract.errors import ConfigError
from deployments.contract.speech import Reference, VoicePrompt
from deployments.families.checkpoint import read_tensors
from deployments.families.indextts.config import MAX_SECONDS, MIN_SECONDS, IndexConfig, read_config
from deployments.families.indextts.voice import IndexVoiceEncoder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(golden) -> IndexConfig:
    return read_config(golden / "checkpoint")


@pytest.fixture(scope="module")
def files(golden, config: IndexConfig) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    folder = golden / "checkpoint"
    return read_tensors(folder / config.gpt_checkpoint), read_tensors(folder / config.bigvgan_checkpoint)


@pytest.fixture(scope="module")
def encoder(config: IndexConfig, files) -> IndexVoiceEncoder:
    return IndexVoiceEncoder(config, *files, CPU)


@pytest.fixture(scope="module")
def reference(golden) -> tuple[np.ndarray, int]:
    waveform, rate = soundfile.read(golden / "reference.wav", dtype="float32", always_2d=True)
    return waveform.mean(axis=1), rate


def test_the_prompt_of_the_golden_reference(encoder: IndexVoiceEncoder, reference, expected) -> None:
    prompt, facts = encoder.encode(Reference.of(*reference, "what is said in it")), expected("reference")
    assert prompt.family == "indextts" and set(prompt.tensors) == {"latents", "speaker"}
    assert all(array.dtype == np.float32 for array in prompt.tensors.values())
    np.testing.assert_allclose(prompt.tensors["latents"], facts["cond_latents"][0], atol=1e-4)
    np.testing.assert_allclose(prompt.tensors["speaker"], facts["speaker_embedding"][0, 0], atol=1e-4)


def test_the_key_names_the_content(encoder: IndexVoiceEncoder, reference) -> None:
    waveform, rate = reference
    prompt = encoder.encode(Reference.of(waveform, rate))
    assert encoder.encode(Reference.of(waveform, rate)).key == prompt.key
    assert VoicePrompt.from_bytes("indextts", prompt.to_bytes()).key == prompt.key
    assert encoder.encode(Reference.of(0.5 * waveform, rate)).key != prompt.key  # loudness is not normalised


def noise(seconds: float, rate: int) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 0.1, round(seconds * rate)).astype(np.float32)


@pytest.mark.parametrize(
    ("seconds", "rate"),
    [
        (MIN_SECONDS, 8000),
        (MIN_SECONDS, 48000),
        (MAX_SECONDS, 16000),
        (1.0, 4000),
        (1.0, 44101),
        (1.0, 384_000),
    ],
)
def test_the_shortest_the_longest_and_odd_rates(
    config: IndexConfig, encoder: IndexVoiceEncoder, seconds: float, rate: int
) -> None:
    prompt = encoder.encode(Reference.of(noise(seconds, rate), rate))
    assert prompt.tensors["latents"].shape == (32, config.gpt.model_dim)
    assert prompt.tensors["speaker"].shape == (config.bigvgan.speaker_embedding_dim,)
    assert all(np.isfinite(array).all() for array in prompt.tensors.values())


@pytest.mark.parametrize(
    ("which", "name"),
    [
        (0, "conditioning_encoder.embed.out.0.weight"),
        (0, "perceiver_encoder.latents"),
        (1, "speaker_encoder.blocks.2.tdnn1.conv.conv.weight"),
    ],
)
def test_mismatched_files_are_named(config: IndexConfig, files, which: int, name: str) -> None:
    for change in ("reshape", "remove"):
        damaged = [dict(tensors) for tensors in files]
        tensor = damaged[which].pop(name)
        if change == "reshape":
            damaged[which][name] = tensor[1:]
        with pytest.raises(ConfigError) as caught:
            IndexVoiceEncoder(config, *damaged, CPU)
        assert name in caught.value.message
        assert (config.gpt_checkpoint, config.bigvgan_checkpoint)[which] in caught.value.message
        shape = tuple(tensor.shape)
        assert str(shape) in caught.value.message and ("missing" in caught.value.message) == (
            change == "remove"
        )


def test_a_file_without_training_counters_is_accepted(config, files, encoder, reference) -> None:
    gpt, vocoder = files
    lean = {name: tensor for name, tensor in vocoder.items() if not name.endswith("num_batches_tracked")}
    assert len(lean) < len(vocoder)
    assert (
        IndexVoiceEncoder(config, gpt, lean, CPU).encode(Reference.of(*reference)).key
        == encoder.encode(Reference.of(*reference)).key
    )
