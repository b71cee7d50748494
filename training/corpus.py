"""Packed shards as tensors on the training device: int16 sound, F0, and the phone of every code."""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.next_voice import CODE_SAMPLES, NEXT
from training.shards import read

HELD_OUT = 120  # utterances for validation; a twentieth of a small corpus
SCALE = 1 / 32768
PER_CODE = NEXT.frames_per_code


class Corpus:
    """Utterances by index; those of `valid` are held out with all others of their text.

    Per utterance: speakers, languages, paces, phones (P,) int64, and at `codes_at` in `pointer` the index of the phone
    in the middle of each code. The samples, log F0 and voicing of all stand one after the other.
    """

    def __init__(self, shards: Sequence[Path], device: torch.device, held_out: int = HELD_OUT) -> None:
        """Raises ValueError if the shards hold nothing, and what `shards.read` raises."""
        sounds, log_f0, voiced, pointers = [], [], [], []
        self.speakers: list[str] = []
        self.languages: list[str] = []
        self.paces: list[float] = []
        self.phones: list[np.ndarray] = []
        texts, means, threads = [], [], os.cpu_count() or 1
        for shard in shards:
            for one, sound in read(shard, threads):
                pitch, voicing, mean = continuous_pitch(one.f0)
                sounds.append(sound)
                log_f0.append(pitch)
                voiced.append(voicing)
                means.append(mean)
                pointers.append(pointer(one.ends, len(sound) // CODE_SAMPLES))
                self.speakers.append(one.speaker)
                self.languages.append(one.language)
                self.paces.append(one.pace)
                self.phones.append(one.phones.astype(np.int64))
                texts.append(one.text)
        if not sounds:
            raise ValueError("the shards contain no utterances")
        self.device = device
        self.codes = np.array([len(one) for one in pointers])
        self.codes_at = np.concatenate([[0], np.cumsum(self.codes)[:-1]])
        self.sound = torch.from_numpy(np.concatenate(sounds)).to(device)  # (N,) int16
        self.log_f0 = torch.from_numpy(np.concatenate(log_f0)).to(
            device
        )  # (N / HOP,) interpolated where unvoiced
        self.voiced = torch.from_numpy(np.concatenate(voiced)).to(device)  # (N / HOP,) 0 or 1
        self.mean_log_f0 = torch.tensor(means, device=device)  # (utterances,)
        self.pointer = torch.from_numpy(np.concatenate(pointers)).to(device)  # (codes,) int64
        ids = [phones[p] for phones, p in zip(self.phones, pointers, strict=True)]
        self.phone = torch.from_numpy(np.concatenate(ids)).to(device)  # (codes,) int64: the phone itself
        order = sorted(range(len(texts)), key=lambda i: (zlib.crc32(texts[i].encode()), i))
        self.valid = sorted(order[: min(held_out, len(texts) // 20)])
        unknown = {texts[i] for i in self.valid}
        self.train = [i for i, text in enumerate(texts) if text not in unknown]
        self.of_speaker: dict[str, list[int]] = defaultdict(list)  # training utterances only
        for index in self.train:
            self.of_speaker[self.speakers[index]].append(index)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def hours(self) -> float:
        return len(self.sound) / NEXT.sample_rate / 3600

    def crop(self, indices: np.ndarray, starts: np.ndarray, codes: int) -> dict[str, Tensor]:
        """`codes` codes of each utterance from code `starts`; where it is shorter, it begins again.

        waveform (B, codes * CODE_SAMPLES), log_f0, voiced (B, frames), phone (B, codes), real (B, codes): 0 for codes
        that are repeated.
        """
        at = torch.from_numpy(self.codes_at[indices]).to(self.device).unsqueeze(1)
        steps = torch.from_numpy(starts).to(self.device).unsqueeze(1) + torch.arange(
            codes, device=self.device
        )
        size = torch.from_numpy(self.codes[indices]).to(self.device).unsqueeze(1)
        code = at + steps % size  # (B, codes)

        def spread(values: Tensor, per_code: int) -> Tensor:
            inner = torch.arange(per_code, device=self.device)
            return values[(code.unsqueeze(-1) * per_code + inner).flatten(1)]

        return {
            "waveform": spread(self.sound, CODE_SAMPLES).float() * SCALE,
            "log_f0": spread(self.log_f0, PER_CODE),
            "voiced": spread(self.voiced, PER_CODE),
            "phone": self.phone[code],
            "real": (steps < size).float(),
        }

    def others(self, indices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """For each utterance a random one of the same speaker; itself if the speaker is held out."""
        known = (self.of_speaker.get(self.speakers[i]) or [i] for i in indices)
        return np.array([own[int(rng.integers(len(own)))] for own in known])


def pointer(ends: np.ndarray, codes: int) -> np.ndarray:
    """The phone in the middle of each code, (codes,) int64. ends (P,) in seconds."""
    middles = (np.arange(codes) + 0.5) / NEXT.codes_per_second
    return np.minimum(np.searchsorted(ends, middles, side="right"), len(ends) - 1)


def continuous_pitch(f0: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """F0 (F,) -> log F0 interpolated through unvoiced frames (F,), voicing (F,) 0 or 1, mean log F0 where voiced."""
    voiced = f0 > 0
    if not voiced.any():
        return np.full(len(f0), 5.0, np.float32), voiced.astype(np.float32), 5.0
    frames = np.arange(len(f0))
    log_f0 = np.interp(frames, frames[voiced], np.log(f0[voiced])).astype(np.float32)
    return log_f0, voiced.astype(np.float32), float(log_f0[voiced].mean())


def shards_in(paths: Sequence[Path]) -> list[Path]:
    """The shards themselves, and those in folders. Raises FileNotFoundError if there are none."""
    found = [f for path in paths for f in (sorted(path.glob("*.safetensors")) if path.is_dir() else [path])]
    if not found or not all(path.is_file() for path in found):
        raise FileNotFoundError(f"no packed corpus: {', '.join(map(str, paths))} (see training.pack)")
    return found
