"""The codec's training: the speakers of a batch, and the losses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from deployments.families.small.config import SmallConfig
from training.codec import CROP, Batches, level_loss, losses
from training.codec_net import Codec
from training.corpus import Corpus
from training.critics import Critics
from training.phone_net import load_phone_net
from training.pitch import measured_log_f0
from training.utterances import HOP, RATE, Utterance, store
from training.voices import VOICES
from training.warm import SHIPPED

OTHERS, OWN = 100.0, 200.0  # Hz


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    """Two shipped voices at 200 Hz, and eight others at 100 Hz."""
    out: Path = tmp_path_factory.mktemp("corpus")
    names = [VOICES["clara"].persona.name, VOICES["mei"].persona.name, *(f"other{i}" for i in range(8))]
    rng, made = np.random.default_rng(0), []
    for index in range(40):
        name, frames = names[index % 10], 2 * CROP
        f0 = np.full(frames, OWN if index % 10 < 2 else OTHERS, np.float32)
        waveform = 0.1 * rng.standard_normal(frames * HOP).astype(np.float32)
        phones, ends = np.array([0, 5, 0], np.int16), np.array([0.1, 1.8, 1.9], np.float32)
        made.append(Utterance(name, f"text {index}", waveform, f0, phones, ends, 1.0))
    store(made, out, 0)
    return Corpus(out)


@pytest.mark.parametrize(("voices", "least", "most"), [(0.0, 0.05, 0.4), (0.5, 0.45, 0.8), (1.0, 1.0, 1.0)])
def test_a_batch_has_the_requested_share_of_shipped_voices(corpus, voices, least, most) -> None:
    batch = Batches(corpus, SmallConfig(), 0, voices).draw(96)
    own = (batch["mean_log_f0"] > math.log(0.5 * (OWN + OTHERS))).float().mean()
    assert least <= float(own) <= most


def test_a_moved_speaker_differs_and_its_pitch_is_known(tmp_path) -> None:
    """For pulses that rise from 100 to 120 Hz, the features of a crop equal measurements of it."""
    frames = 3 * CROP
    f0 = np.linspace(100, 120, frames, dtype=np.float32)
    phase = np.cumsum(np.repeat(f0, HOP) / RATE)
    pulses = np.diff(np.floor(phase), prepend=0).astype(np.float32)
    phones, ends = np.array([0, 5, 0], np.int16), np.array([0.1, 2.7, 2.88], np.float32)
    store(
        [Utterance("one", f"text {i}", 0.5 * pulses, f0, phones, ends, 1.0) for i in range(30)], tmp_path, 0
    )
    batch = Batches(Corpus(tmp_path), SmallConfig(), 0, moved=1.0).draw(12)
    expected, measured = batch["log_f0"], measured_log_f0(batch["waveform"])
    apart = (expected - measured)[~measured.isnan()]
    assert measured.isnan().float().mean() < 0.1
    assert float(apart.abs().median()) < 0.01
    warps = (batch["mean_log_f0"] - np.log(f0).mean()).exp()
    assert 0.84 <= float(warps.min()) < 0.95
    assert 1.05 < float(warps.max()) <= 1.2
    reference = measured_log_f0(batch["reference"]).nanmedian(1).values
    assert torch.allclose(reference, batch["mean_log_f0"], atol=0.12)  # another part of the rise
    assert float((batch["mel"].mean(1) - batch["mean_mel"]).abs().mean()) < 0.5


def test_the_level_loss_hears_levels_but_not_noise() -> None:
    one, other = torch.randn(2, 4, 16000, generator=torch.Generator().manual_seed(0)).unbind()
    assert level_loss(one, one) == 0
    assert level_loss(one, other) < 0.25
    assert level_loss(one, 2 * other) == pytest.approx(math.log(2), rel=0.1)


def test_without_critics_their_losses_do_not_count(corpus) -> None:
    config = SmallConfig()
    torch.manual_seed(0)
    codec, recogniser = Codec(config), load_phone_net(SHIPPED)
    batches, critics = Batches(corpus, config, 0), Critics(config)
    batch = batches.draw(2)
    total, parts = losses(codec, None, batches.mel, recogniser, batch)
    total.backward()
    assert "critics" not in parts
    assert all(p.grad is not None for p in codec.encoder.parameters())
    total, parts = losses(codec, critics, batches.mel, recogniser, batch)
    total.backward()
    assert {"critics", "passing", "apart"} <= set(parts)
    assert all(p.grad is not None for p in critics.parameters())
