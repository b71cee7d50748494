"""Utterances of a corpus and their storage in shards: flat arrays with lengths, one shard per process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RATE, HOP, CODE_SAMPLES = 16000, 160, 320
F0_FLOOR, F0_CEIL = 55.0, 420.0  # Hz, for all teachers
LOUDNESS = 0.08  # RMS of every utterance
LEAD, TAIL = 0.04, 0.12  # seconds of silence kept at the edges
SILENT_DB = -45.0  # quieter 10 ms frames, relative to the loudest, are silence
LONGEST = 9.0  # seconds
FILES = ("wav", "f0", "phones", "ends", "index", "aligned")  # of a shard


@dataclass
class Utterance:
    """One spoken sentence. ends[i]: the end of phones[i] in seconds, NaN if unknown."""

    speaker: str
    text: str
    waveform: np.ndarray  # (N,) float32, N a multiple of CODE_SAMPLES
    f0: np.ndarray  # (N / HOP,) Hz at the start of each frame, 0 where unvoiced
    phones: np.ndarray  # (P,) int16
    ends: np.ndarray  # (P,) float32
    pace: float


def sounding(waveform: np.ndarray) -> tuple[float, float]:
    """The start and end of the sound in seconds."""
    frames = waveform[: len(waveform) // HOP * HOP].reshape(-1, HOP)
    level = np.sqrt(np.mean(frames**2, axis=1))
    loud = np.flatnonzero(level > level.max() * 10 ** (SILENT_DB / 20))
    return loud[0] * HOP / RATE, (loud[-1] + 1) * HOP / RATE


def levelled(waveform: np.ndarray) -> np.ndarray:
    """The waveform at the common loudness, padded to a whole number of codes; (N,) float32."""
    usual = np.sqrt(np.mean(waveform**2)) + 1e-6
    waveform = waveform * min(LOUDNESS / usual, 0.95 / (np.abs(waveform).max() + 1e-6))
    return np.pad(waveform, (0, -len(waveform) % CODE_SAMPLES)).astype(np.float32)


def store(made: list[Utterance], out: Path, shard: int) -> None:
    arrays: dict[str, Callable[[Utterance], np.ndarray]] = {
        "wav": lambda u: (u.waveform * 32767).astype(np.int16),
        "f0": lambda u: u.f0,
        "phones": lambda u: u.phones,
        "ends": lambda u: u.ends,
    }
    for name, of in arrays.items():
        np.save(out / f"{name}{shard}.npy", np.concatenate([of(u) for u in made]))
    index = [[u.speaker, len(u.waveform), len(u.phones), u.text, round(u.pace, 3)] for u in made]
    (out / f"index{shard}.json").write_text(json.dumps(index, ensure_ascii=False), "utf-8")


def next_shard(folder: Path, append: bool) -> int:
    """The number of the next shard in a folder, which is created. Existing shards are deleted unless `append`."""
    folder.mkdir(parents=True, exist_ok=True)
    if not append:
        for name in FILES:
            for old in (*folder.glob(f"{name}[0-9]*.npy"), *folder.glob(f"{name}[0-9]*.json")):
                old.unlink()
    return max(shards(folder), default=-1) + 1


def shards(folder: Path) -> list[int]:
    """The numbers of the shards of a corpus."""
    return sorted(int(file.stem.removeprefix("index")) for file in folder.glob("index[0-9]*.json"))
