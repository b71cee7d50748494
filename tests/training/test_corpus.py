"""The corpus on disk: held-out sentences, appended shards, aligned and reported times."""

from __future__ import annotations

import numpy as np
import pytest

from training import ranks
from training.corpus import Corpus
from training.utterances import CODE_SAMPLES, HOP, Utterance, next_shard, store


def made(text: str, timed: bool = True) -> Utterance:
    samples = 4 * CODE_SAMPLES
    ends = np.array([0.02, 0.08], np.float32) if timed else np.full(2, np.nan, np.float32)
    return Utterance(
        "ann",
        text,
        np.zeros(samples, np.float32),
        np.zeros(samples // HOP),
        np.array([1, 2], np.int16),
        ends,
        1.0,
    )


def add(folder, texts: list[str], timed: bool = True) -> Corpus:
    store([made(text, timed) for text in texts], folder, next_shard(folder, append=True))
    return Corpus(folder)


def test_held_out_sentences_do_not_occur_in_training(tmp_path):
    corpus = add(tmp_path, [f"sentence {i % 60}" for i in range(200)])
    assert len(corpus.valid) == 10
    assert {corpus.texts[i] for i in corpus.valid}.isdisjoint(corpus.texts[i] for i in corpus.train)
    held = {corpus.texts[i] for i in corpus.valid}
    more = add(tmp_path, [f"sentence {i % 60}" for i in range(30)])
    assert {more.texts[i] for i in more.train}.isdisjoint(held), "appended shards contain held-out sentences"


def test_shards_are_appended(tmp_path):
    add(tmp_path, ["a", "b"])
    add(tmp_path, ["c"])
    for file in tmp_path.glob("*0.*"):
        file.unlink()
    corpus = add(tmp_path, ["d"])
    assert corpus.texts == ["c", "d"]
    (tmp_path / "wav01.wav").write_text("somebody's own")
    assert next_shard(tmp_path, append=False) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["wav01.wav"]


def test_aligned_times_are_kept_and_distinguished_from_reported_ones(tmp_path):
    add(tmp_path, ["told"])
    corpus = add(tmp_path, ["found", "not found"], timed=False)
    assert [corpus.aligned(i) for i in range(3)] == [True, False, False]
    corpus.align(1, np.array([0.04, 0.08]))
    corpus.store_ends()
    again = Corpus(tmp_path)
    assert [again.aligned(i) for i in range(3)] == [True, True, False]
    assert [again.timed(i) for i in range(3)] == [True, False, False]
    assert again.phones(1)[1] == pytest.approx([0.04, 0.08])


@pytest.mark.parametrize(("count", "size"), [(1, 2), (7, 2), (50, 3)])
def test_every_rank_gets_the_same_number_of_groups_and_none_is_too_large(count, size):
    lengths = {i: 10 + i % 7 for i in range(count)}
    groups = ranks.epoch(lengths, 40, 3, size, np.random.default_rng(0))
    assert len(groups) % size == 0
    assert {i for group in groups for i in group} == set(lengths)
    assert max(len(group) * max(lengths[i] for i in group) for group in groups) <= 40
