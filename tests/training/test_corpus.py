"""Packed shards, and the corpus on the device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tests.training.tones import SPEAKERS, utterance
from training import ranks
from training.corpus import Corpus, pointer, shards_in
from training.next_voice import CODE_SAMPLES, HOP, RATE
from training.shards import _NAMES, decoded, encoded, read, write

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "shard-000.safetensors"
    write([utterance(name, i) for i in range(12) for name in SPEAKERS], path)
    return path


def test_what_is_packed_comes_back(shard: Path) -> None:
    found = list(read(shard, threads=2))
    assert len(found) == 24
    for (one, sound), number in zip(found, np.repeat(np.arange(12), 2), strict=True):
        own = utterance(one.speaker, int(number))
        assert (one.text, one.pace) == (own.text, own.pace)
        np.testing.assert_array_equal(one.phones, own.phones)
        np.testing.assert_array_equal(one.ends, own.ends)
        assert np.abs(one.f0 - own.f0).max() < 0.2
        power = [np.mean(np.abs(np.fft.rfft(x)[:3000]) ** 2) for x in (sound / 32768, own.waveform)]
        assert power[0] == pytest.approx(power[1], rel=0.1)
    assert shard.stat().st_size < 60e3 / 8 * sum(len(sound) for _, sound in found) / RATE


@pytest.mark.parametrize("name", ["audio", "f0", "phones", "ends"])
def test_a_damaged_shard_is_refused(shard: Path, tmp_path: Path, name: str) -> None:
    arrays, metadata = load_file(shard), {"phones": "other", "rate": str(RATE)}
    save_file(arrays, tmp_path / "other.safetensors", metadata)
    with pytest.raises(ValueError, match="another phone set"):
        next(read(tmp_path / "other.safetensors"))
    save_file(arrays, tmp_path / "other.safetensors", {"phones": _NAMES})
    with pytest.raises(ValueError, match="does not say its rate"):
        next(read(tmp_path / "other.safetensors"))
    arrays[name] = arrays[name][:-1].copy()
    save_file(arrays, tmp_path / "cut.safetensors", metadata | {"phones": _NAMES})
    with pytest.raises(ValueError, match=f"{name} does not fit"):
        next(read(tmp_path / "cut.safetensors"))


def test_sound_of_another_rate_is_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    stored = encoded(tone.astype(np.float32))
    monkeypatch.setattr("training.shards.RATE", 16_000)
    again = decoded(stored, 16_000) / 32768
    assert len(again) == 16_000
    spectrum = np.abs(np.fft.rfft(again * np.hanning(16_000)))
    assert spectrum.argmax() == 440
    assert np.std(again[2000:-2000]) == pytest.approx(np.std(tone), rel=0.05)


def test_folders_and_files_are_found(shard: Path, tmp_path: Path) -> None:
    assert shards_in([shard.parent]) == shards_in([shard]) == [shard]
    with pytest.raises(FileNotFoundError, match=r"training\.pack"):
        shards_in([tmp_path])


def test_held_out_texts_do_not_occur_in_training(shard: Path) -> None:
    corpus = Corpus([shard], CPU)
    assert len(corpus.valid) == 1
    assert len(corpus.train) == 22, "the other speaker of the same text is held out too"
    assert all(index in corpus.train for own in corpus.of_speaker.values() for index in own)


def test_a_crop_is_that_part_of_the_utterance(shard: Path) -> None:
    corpus = Corpus([shard], CPU)
    (one, sound), index = list(read(shard))[5], 5
    batch = corpus.crop(np.array([index]), np.array([3]), 10)
    part = sound[3 * CODE_SAMPLES : 13 * CODE_SAMPLES] / 32768
    np.testing.assert_allclose(batch["waveform"][0].numpy(), part, atol=1e-6)
    voiced = one.f0[3 * CODE_SAMPLES // HOP : 13 * CODE_SAMPLES // HOP] > 0
    np.testing.assert_array_equal(batch["voiced"][0].numpy() > 0, voiced)
    expected = one.phones[pointer(one.ends, len(sound) // CODE_SAMPLES)][3:13]
    np.testing.assert_array_equal(batch["phone"][0].numpy(), expected)
    size = int(corpus.codes[index])
    longer = corpus.crop(np.array([index]), np.array([0]), size + 4)
    assert longer["real"][0].tolist() == [1.0] * size + [0.0] * 4
    torch.testing.assert_close(
        longer["waveform"][0, size * CODE_SAMPLES :], longer["waveform"][0, : 4 * CODE_SAMPLES]
    )


def test_another_utterance_is_of_the_same_speaker(shard: Path) -> None:
    corpus, rng = Corpus([shard], CPU), np.random.default_rng(0)
    indices = np.arange(len(corpus))
    others = corpus.others(indices, rng)
    assert [corpus.speakers[i] for i in others] == corpus.speakers
    assert set(others) <= set(corpus.train) and (others != indices).any()


@pytest.mark.parametrize(("count", "size"), [(1, 2), (7, 2), (50, 3)])
def test_every_rank_gets_the_same_number_of_groups_and_none_is_too_large(count: int, size: int) -> None:
    lengths = np.array([10 + i % 7 for i in range(count)])
    groups = ranks.epoch(lengths, 40, 3, size, np.random.default_rng(0))
    assert len(groups) % size == 0
    assert {i for group in groups for i in group} == set(range(count))
    assert max(len(group) * max(lengths[i] for i in group) for group in groups) <= 40
