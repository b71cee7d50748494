"""The files of jobs in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serve_app.jobs.audio_store import AudioStore

DIGEST = "ab" + 31 * "00"
SOUND = np.random.default_rng(0).uniform(-0.1, 0.1, 4800).astype(np.float32)


@pytest.fixture
def audio(tmp_path: Path) -> AudioStore:
    return AudioStore(str(tmp_path / "audio"))


def test_a_sound_that_was_cut_off_has_no_length(audio: AudioStore, tmp_path: Path) -> None:
    assert audio.samples(DIGEST) is None
    audio.put_sound(DIGEST, SOUND, 24_000)
    assert audio.samples(DIGEST) == 4800
    (path,) = (tmp_path / "audio").rglob("*.flac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert audio.samples(DIGEST) is None
    with pytest.raises(FileNotFoundError):
        audio.sound(DIGEST)


def test_a_runner_that_lost_its_job_leaves_the_drafts_of_the_next_one(audio: AudioStore) -> None:
    first = audio.scratch("job")
    (first / "draft").write_bytes(b"old")
    second = audio.scratch("job")
    (second / "draft").write_bytes(b"new")
    assert not first.exists(), "the next runner does not keep what a dead one left"
    audio.clear_scratch(first)
    assert (second / "draft").read_bytes() == b"new"
    audio.clear_scratch(second)
    assert not second.parent.exists()
