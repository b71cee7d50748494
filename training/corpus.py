"""The corpus on disk, memory-mapped."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from training.utterances import HOP

HELD_OUT = 60  # utterances


class Corpus:
    """Utterances by index. `held_out` of them, from all over the corpus, are for validation."""

    def __init__(self, root: Path, held_out: int = HELD_OUT) -> None:
        self._arrays: list[dict[str, np.ndarray]] = []
        self._where: list[
            tuple[int, int, int, int, int]
        ] = []  # shard, sample offset, samples, phone offset, phones
        self._paths: list[Path] = []  # of each shard's ends
        self.speakers: list[str] = []
        self.texts: list[str] = []
        self.paces: list[float] = []  # 2.0 is twice as fast as the speaker's usual
        for shard in range(len(list(root.glob("index*.json")))):
            names = ("wav", "f0", "phones", "ends")
            self._arrays.append({name: np.load(root / f"{name}{shard}.npy", mmap_mode="r") for name in names})
            self._paths.append(root / f"ends{shard}.npy")
            sample = phone = 0
            for speaker, samples, phones, text, pace in json.loads((root / f"index{shard}.json").read_text()):
                self._where.append((shard, sample, samples, phone, phones))
                self.speakers.append(speaker)
                self.texts.append(text)
                self.paces.append(pace)
                sample, phone = sample + samples, phone + phones
        held_out = held(len(self), held_out)
        self.valid = [i * len(self) // held_out for i in range(held_out)]
        self.train = sorted(set(range(len(self))) - set(self.valid))
        self.of_speaker: dict[str, list[int]] = defaultdict(list)  # training utterances only
        for index in self.train:
            self.of_speaker[self.speakers[index]].append(index)

    def __len__(self) -> int:
        return len(self._where)

    def frames(self, index: int) -> int:
        return self._where[index][2] // HOP

    def waveform(self, index: int, start: int = 0, frames: int | None = None) -> np.ndarray:
        """float32 samples from frame `start` on."""
        shard, offset, samples, _, _ = self._where[index]
        stop = samples if frames is None else min(samples, (start + frames) * HOP)
        return self._arrays[shard]["wav"][offset + start * HOP : offset + stop].astype(np.float32) / 32767

    def f0(self, index: int) -> np.ndarray:
        """(F,) Hz, 0 where unvoiced."""
        shard, offset, samples, _, _ = self._where[index]
        return np.array(self._arrays[shard]["f0"][offset // HOP : (offset + samples) // HOP])

    def aligned(self, index: int) -> bool:
        """Whether it is known when the phones end."""
        shard, _, _, offset, _ = self._where[index]
        return not np.isnan(self._arrays[shard]["ends"][offset])

    def align(self, index: int, ends: np.ndarray) -> None:
        """Keep when the phones end; `store_ends` writes it."""
        shard, _, _, offset, count = self._where[index]
        self._ends(shard)[offset : offset + count] = ends

    def store_ends(self) -> None:
        for shard, path in enumerate(self._paths):
            np.save(path, self._ends(shard))

    def _ends(self, shard: int) -> np.ndarray:
        """In memory, so that it can be changed."""
        arrays = self._arrays[shard]
        if isinstance(arrays["ends"], np.memmap):
            arrays["ends"] = np.array(arrays["ends"])
        return arrays["ends"]

    def pointer(self, index: int, steps: int, per_second: int) -> np.ndarray:
        """Of each step the phone that is spoken in its middle: (steps,) int64. Only of what is aligned."""
        phones, ends = self.phones(index)
        middles = (np.arange(steps) + 0.5) / per_second
        return np.minimum(np.searchsorted(ends, middles, side="right"), len(phones) - 1)

    def phones(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (P,) int64 and end times (P,) in seconds."""
        shard, _, _, offset, count = self._where[index]
        arrays = self._arrays[shard]
        ids = arrays["phones"][offset : offset + count].astype(np.int64)
        return ids, np.array(arrays["ends"][offset : offset + count])


def held(count: int, wanted: int = HELD_OUT) -> int:
    """How many of `count` utterances are held out: `wanted`, of a small corpus every twentieth."""
    return min(wanted, count // 20)


def continuous_pitch(f0: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """F0 (F,) -> log F0 interpolated through unvoiced frames (F,), voicing (F,) 0 or 1, mean log F0 where voiced."""
    voiced = f0 > 0
    if not voiced.any():
        return np.full(len(f0), 5.0, np.float32), voiced.astype(np.float32), 5.0
    frames = np.arange(len(f0))
    log_f0 = np.interp(frames, frames[voiced], np.log(f0[voiced])).astype(np.float32)
    return log_f0, voiced.astype(np.float32), float(log_f0[voiced].mean())
