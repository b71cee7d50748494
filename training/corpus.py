"""The corpus on disk, memory-mapped."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np

from training.utterances import HOP, shards

HELD_OUT = 60  # utterances; every twentieth of a small corpus


class Corpus:
    """Utterances by index. `held_out` of them are for validation; their sentences are not used in training."""

    def __init__(self, root: Path, held_out: int = HELD_OUT) -> None:
        self._arrays: list[dict[str, np.ndarray]] = []
        self._where: list[
            tuple[int, int, int, int, int]
        ] = []  # shard, sample offset, samples, phone offset, phones
        self._ends: list[np.ndarray] = []  # for each shard: the teachers' times, and those from `align`
        self._found: list[Path] = []  # the files of the latter
        self.speakers: list[str] = []
        self.texts: list[str] = []
        self.paces: list[float] = []  # 2.0 is twice the speaker's usual pace
        for shard, number in enumerate(shards(root)):
            names = ("wav", "f0", "phones", "ends")
            self._arrays.append(
                {name: np.load(root / f"{name}{number}.npy", mmap_mode="r") for name in names}
            )
            self._found.append(root / f"aligned{number}.npy")
            ends = np.array(self._arrays[-1]["ends"])
            found = np.load(self._found[-1]) if self._found[-1].exists() else ends
            self._ends.append(np.where(np.isnan(ends), found, ends))
            sample = phone = 0
            for speaker, samples, phones, text, pace in json.loads(
                (root / f"index{number}.json").read_text()
            ):
                self._where.append((shard, sample, samples, phone, phones))
                self.speakers.append(speaker)
                self.texts.append(text)
                self.paces.append(pace)
                sample, phone = sample + samples, phone + phones
        shuffled = sorted(range(len(self)), key=lambda i: (zlib.crc32(self.texts[i].encode()), i))
        self.valid = sorted(shuffled[: min(held_out, len(self) // 20)])
        unknown = {self.texts[i] for i in self.valid}
        self.train = [i for i, text in enumerate(self.texts) if text not in unknown]
        self.of_speaker: dict[str, list[int]] = defaultdict(list)  # training utterances only
        for index in self.train:
            self.of_speaker[self.speakers[index]].append(index)

    def __len__(self) -> int:
        return len(self._where)

    def frames(self, index: int) -> int:
        return self._where[index][2] // HOP

    def waveform(self, index: int, start: int = 0, frames: int | None = None) -> np.ndarray:
        """float32 samples from frame `start`."""
        shard, offset, samples, _, _ = self._where[index]
        stop = samples if frames is None else min(samples, (start + frames) * HOP)
        return self._arrays[shard]["wav"][offset + start * HOP : offset + stop].astype(np.float32) / 32767

    def f0(self, index: int) -> np.ndarray:
        """(F,) Hz, 0 where unvoiced."""
        shard, offset, samples, _, _ = self._where[index]
        return np.array(self._arrays[shard]["f0"][offset // HOP : (offset + samples) // HOP])

    def timed(self, index: int) -> bool:
        """True if the teacher reported when the phones end."""
        shard, _, _, offset, _ = self._where[index]
        return not np.isnan(self._arrays[shard]["ends"][offset])

    def aligned(self, index: int) -> bool:
        """True if the end times of the phones are known."""
        shard, _, _, offset, _ = self._where[index]
        return not np.isnan(self._ends[shard][offset])

    def align(self, index: int, ends: np.ndarray) -> None:
        """Sets the end times of the phones, NaN if unknown. `store_ends` writes them."""
        shard, _, _, offset, count = self._where[index]
        self._ends[shard][offset : offset + count] = ends

    def store_ends(self) -> None:
        for path, ends in zip(self._found, self._ends, strict=True):
            np.save(path, ends)

    def pointer(self, index: int, steps: int, per_second: int) -> np.ndarray:
        """The phone in the middle of each step: (steps,) int64. Only for aligned utterances."""
        phones, ends = self.phones(index)
        middles = (np.arange(steps) + 0.5) / per_second
        return np.minimum(np.searchsorted(ends, middles, side="right"), len(phones) - 1)

    def phones(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (P,) int64 and end times (P,) in seconds."""
        shard, _, _, offset, count = self._where[index]
        ids = self._arrays[shard]["phones"][offset : offset + count].astype(np.int64)
        return ids, self._ends[shard][offset : offset + count].copy()


def continuous_pitch(f0: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """F0 (F,) -> log F0 interpolated through unvoiced frames (F,), voicing (F,) 0 or 1, mean log F0 where voiced."""
    voiced = f0 > 0
    if not voiced.any():
        return np.full(len(f0), 5.0, np.float32), voiced.astype(np.float32), 5.0
    frames = np.arange(len(f0))
    log_f0 = np.interp(frames, frames[voiced], np.log(f0[voiced])).astype(np.float32)
    return log_f0, voiced.astype(np.float32), float(log_f0[voiced].mean())
