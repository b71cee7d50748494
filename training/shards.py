"""Packed corpora: one file holds hours of utterances as Opus or FLAC, with F0 and phone times.

A shard is a safetensors file. `audio` holds the Ogg Opus or FLAC files one after the other, `f0`, `phones` and `ends`
the utterances' values; `index` is JSON with a row per utterance. The metadata names the phones.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from safetensors import safe_open
from safetensors.numpy import save_file

from training.next_voice import CODE_SAMPLES, HOP, PHONES, RATE
from training.utterances import Utterance

QUALITY = 0.88  # compression level of libsndfile, about 37 kbit/s
_NAMES = " ".join(PHONES.symbols)


class Writer:
    """Collects utterances until `bytes` are enough for a file."""

    def __init__(self, lossless: bool = False) -> None:
        self.lossless = lossless
        self.bytes, self.seconds, self.rows = 0, 0.0, []
        self._parts: dict[str, list[np.ndarray]] = {"audio": [], "f0": [], "phones": [], "ends": []}

    def add(self, one: Utterance) -> None:
        sound = encoded(one.waveform, self.lossless)
        arrays = {
            "audio": np.frombuffer(sound, np.uint8),
            "f0": one.f0.astype(np.float16),
            "phones": one.phones.astype(np.int16),
            "ends": one.ends.astype(np.float32),
        }
        for name, values in arrays.items():
            self._parts[name].append(values)
            self.bytes += values.nbytes
        sizes = [len(sound), len(one.waveform), len(one.phones)]
        self.rows.append([one.speaker, one.language, one.text, round(one.pace, 3), *sizes])
        self.bytes += len(json.dumps(self.rows[-1], ensure_ascii=False).encode())
        self.seconds += len(one.waveform) / RATE

    def store(self, path: Path) -> None:
        index = np.frombuffer(json.dumps(self.rows, ensure_ascii=False).encode(), np.uint8)
        arrays = {name: np.concatenate(parts) for name, parts in self._parts.items()} | {"index": index}
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(".tmp")
        save_file(arrays, made, {"phones": _NAMES, "rate": str(RATE)})
        made.rename(path)


def encoded(waveform: np.ndarray, lossless: bool = False) -> bytes:
    """FLAC of 16 bits if lossless, else Ogg Opus."""
    file = io.BytesIO()
    if lossless:
        soundfile.write(file, waveform, RATE, format="FLAC", subtype="PCM_16")
    else:
        soundfile.write(file, waveform, RATE, format="OGG", subtype="OPUS", compression_level=QUALITY)
    return file.getvalue()


def decoded(sound: bytes, samples: int) -> np.ndarray:
    """(samples,) int16 at RATE."""
    waveform, rate = soundfile.read(io.BytesIO(sound), dtype="float32")
    if rate != RATE:
        import torch
        import torchaudio

        waveform = torchaudio.functional.resample(torch.from_numpy(waveform), rate, RATE).numpy()
    waveform = np.clip(np.rint(waveform * 32767), -32768, 32767).astype(np.int16)
    return np.pad(waveform[:samples], (0, max(0, samples - len(waveform))))


def read(path: Path, threads: int = 1) -> Iterator[tuple[Utterance, np.ndarray]]:
    """The utterances of a shard, without a waveform, and their samples (N,) int16.

    Sound of another rate is resampled. Raises ValueError if the shard has other phones, or no rate, or its
    arrays do not fit.
    """
    with safe_open(path, "np") as file:
        known = file.metadata() or {}
        if known.get("phones") != _NAMES:
            raise ValueError(f"{path.name} was packed for another phone set; pack it again")
        arrays = {name: file.get_tensor(name) for name in ("audio", "f0", "phones", "ends", "index")}
    rows = json.loads(arrays["index"].tobytes())
    sizes = np.array([row[4:] for row in rows], np.int64).reshape(-1, 3)
    if not (rate := known.get("rate", "")).isdecimal() or int(rate) < 1:
        raise ValueError(f"{path.name} does not say its rate")
    sizes[:, 1] = sizes[:, 1] * RATE // int(rate)
    if (sizes <= 0).any() or (sizes[:, 1] % CODE_SAMPLES).any():
        raise ValueError(f"{path.name}: an utterance is empty or not a whole number of codes")
    starts = np.vstack([np.zeros((1, 3), np.int64), np.cumsum(sizes, axis=0)])
    wanted = {
        "audio": starts[-1, 0],
        "f0": starts[-1, 1] // HOP,
        "phones": starts[-1, 2],
        "ends": starts[-1, 2],
    }
    if wrong := [name for name, count in wanted.items() if len(arrays[name]) != count]:
        raise ValueError(f"{path.name}: {wrong[0]} does not fit the index")
    sounds = [arrays["audio"][a:b].tobytes() for a, b in zip(starts[:-1, 0], starts[1:, 0], strict=True)]
    with ThreadPoolExecutor(threads) as pool:
        samples = pool.map(decoded, sounds, sizes[:, 1].tolist())
        for row, begin, end, sound in zip(rows, starts[:-1], starts[1:], samples, strict=True):
            f0 = arrays["f0"][begin[1] // HOP : end[1] // HOP].astype(np.float32)
            phones, ends = (arrays[name][begin[2] : end[2]] for name in ("phones", "ends"))
            yield Utterance(row[0], row[1], row[2], np.zeros(0, np.float32), f0, phones, ends, row[3]), sound


def write(utterances: Iterable[Utterance], path: Path) -> float:
    """Writes one shard and returns its seconds."""
    shard = Writer()
    for one in utterances:
        shard.add(one)
    shard.store(path)
    return shard.seconds
