"""Make the corpus: python -m training.data --count 9000

Teacher: CMU flite's four 16 kHz voices. Each utterance is one training sentence with its phones, the time at which each
ends (flite's own), and F0 (pyworld). Part of the utterances are resampled to another speed, which shifts pitch and
formants together: pseudo-speakers, for the sake of the speaker encoder. Written to training/runs/data/.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import subprocess
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyworld
import soundfile
import soxr

from deployments.families.small.phones import PAUSE, closing_pause, phone_ids

RATE, HOP, CODE_SAMPLES = 16000, 160, 320
TEACHERS = ("slt", "rms", "awb", "kal16")
SHARE = {"slt": 0.3, "rms": 0.27, "awb": 0.23, "kal16": 0.2}
WARPS = (0.85, 0.9, 0.95, 1.05, 1.1, 1.14, 1.18)
PLAIN_SHARE = 0.65  # of the utterances are the unwarped teacher
LOUDNESS = 0.08  # RMS of every utterance
LEAD, TAIL = 0.04, 0.12  # seconds of the edge pauses that are kept
LONGEST = 9.0  # seconds


@dataclass
class Utterance:
    """One spoken sentence; `ends[i]` is the second at which `phones[i]` ends."""

    speaker: str
    text: str
    waveform: np.ndarray  # (N,) float32, N a multiple of CODE_SAMPLES
    f0: np.ndarray  # (N / HOP,) Hz at the start of each frame, 0 where unvoiced
    phones: np.ndarray  # (P,) int16
    ends: np.ndarray  # (P,) float32


def say(text: str, teacher: str, stretch: float = 1.0) -> tuple[np.ndarray, list[str], np.ndarray]:
    """flite's waveform, phones and their end times in seconds."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", teacher, "--setf", f"duration_stretch={stretch:.3f}", "-psdur"]
        run = subprocess.run(
            [*command, "-t", text, "-o", file.name], capture_output=True, text=True, check=True
        )
        waveform, _ = soundfile.read(file.name, dtype="float32")
    pairs = [item.rsplit(":", 1) for item in run.stdout.split()]
    return waveform, [phone for phone, _ in pairs], np.array([float(end) for _, end in pairs])


def pitch(waveform: np.ndarray) -> np.ndarray:
    """F0 in Hz per frame of HOP samples, 0 where unvoiced."""
    samples = waveform.astype(np.float64)
    coarse, times = pyworld.dio(samples, RATE, frame_period=1000 * HOP / RATE, f0_floor=55, f0_ceil=420)
    f0 = pyworld.stonemask(samples, coarse, times, RATE)
    frames = len(waveform) // HOP
    return np.pad(f0, (0, max(0, frames - len(f0))))[:frames].astype(np.float32)


def utterance(text: str, teacher: str, warp: float = 1.0, stretch: float = 1.0) -> Utterance:
    """Say `text`, trim its edge pauses, resample by `warp`, level it."""
    waveform, phones, ends = say(text, teacher, stretch * warp)
    if phones[0] != PAUSE or phones[-1] != PAUSE or any(a == b == PAUSE for a, b in pairwise(phones)):
        raise ValueError(f"unexpected phones for {text!r}: {phones}")
    start = max(0.0, ends[0] - LEAD)
    stop = min(len(waveform) / RATE, ends[-2] + TAIL)
    waveform = waveform[int(start * RATE) : int(stop * RATE)]
    ends = np.minimum(ends, stop) - start
    if warp != 1.0:
        waveform, ends = soxr.resample(waveform, RATE * warp, RATE), ends / warp
    loudness = np.sqrt(np.mean(waveform**2)) + 1e-6
    waveform = waveform * min(LOUDNESS / loudness, 0.95 / np.abs(waveform).max())
    waveform = np.pad(waveform, (0, -len(waveform) % CODE_SAMPLES)).astype(np.float32)
    ids = np.array(phone_ids([*phones[:-1], closing_pause(text)]), np.int16)
    speaker = f"{teacher}-{warp:.2f}"
    return Utterance(speaker, text, waveform, pitch(waveform), ids, ends.astype(np.float32))


def make_shard(shard: int, shards: int, count: int, sentences: list[str], out: Path) -> None:
    """Every `shards`-th utterance of the corpus, as flat arrays with their lengths."""
    rng = random.Random(100 + shard)
    made: list[Utterance] = []
    begin, total = time.time(), 0.0
    for index in range(shard, count, shards):
        teacher = rng.choices(TEACHERS, [SHARE[t] for t in TEACHERS])[0]
        warp = 1.0 if rng.random() < PLAIN_SHARE else rng.choice(WARPS)
        try:
            item = utterance(sentences[index % len(sentences)], teacher, warp, rng.uniform(0.92, 1.1))
        except (ValueError, KeyError, IndexError) as error:
            print("left out:", error, flush=True)
            continue
        if len(item.waveform) > LONGEST * RATE or len(item.phones) < 5:
            continue
        made.append(item)
        total += len(item.waveform) / RATE / 3600
        if len(made) % 500 == 0:
            print(
                f"shard {shard}: {len(made)} utterances, {total:.2f} h, {time.time() - begin:.0f} s",
                flush=True,
            )
    np.save(out / f"wav{shard}.npy", np.concatenate([(u.waveform * 32767).astype(np.int16) for u in made]))
    np.save(out / f"f0{shard}.npy", np.concatenate([u.f0 for u in made]))
    np.save(out / f"phones{shard}.npy", np.concatenate([u.phones for u in made]))
    np.save(out / f"ends{shard}.npy", np.concatenate([u.ends for u in made]))
    index = [[u.speaker, len(u.waveform), len(u.phones), u.text] for u in made]
    (out / f"index{shard}.json").write_text(json.dumps(index))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", type=Path, default=Path("training/runs/text.txt"))
    parser.add_argument("--out", type=Path, default=Path("training/runs/data"))
    parser.add_argument("--count", type=int, default=9000)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    sentences = args.text.read_text().splitlines()
    workers = [
        multiprocessing.Process(target=make_shard, args=(s, args.processes, args.count, sentences, args.out))
        for s in range(args.processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
