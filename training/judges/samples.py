"""Folders of utterances to judge, each with a line of JSON in `index*.jsonl`, as written by `make_corpus`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 16000  # of all judges


@dataclass(frozen=True)
class Sample:
    """One utterance. language: en, zh or mix. file: the audio file, relative to the folder."""

    text: str
    language: str
    speaker: str
    file: str

    def waveform(self, folder: Path) -> np.ndarray:
        """(N,) float32 at RATE."""
        return waveform_of(folder / self.file)


def waveform_of(path: Path) -> np.ndarray:
    """A mono file: (N,) float32 at RATE."""
    waveform, rate = soundfile.read(path, dtype="float32")
    return soxr.resample(waveform, rate, RATE) if rate != RATE else waveform


def load(folder: Path) -> list[Sample]:
    """All utterances of a folder. Raises FileNotFoundError if there is no index."""
    paths = sorted(folder.glob("index*.jsonl"))
    if not paths:
        raise FileNotFoundError(f"{folder} has no index*.jsonl")
    entries = [json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()]
    names = Sample.__dataclass_fields__
    return [Sample(**{name: entry[name] for name in names}) for entry in entries if "file" in entry]


def store(folder: Path, sample: Sample, waveform: np.ndarray, rate: int) -> None:
    """Adds an utterance (N,) to a folder."""
    path = folder / sample.file
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(waveform, -1, 1), rate)
    with (folder / "index.jsonl").open("a", encoding="utf-8") as index:
        index.write(json.dumps(asdict(sample), ensure_ascii=False) + "\n")
