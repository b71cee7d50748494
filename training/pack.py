"""Pack the natural corpus for training: python -m training.pack CORPUS --out training/runs/packed

CORPUS is a folder of `training.teachers.make_corpus`. Its utterances are cut where the frontend cuts a text: at the
signs that end a segment, if there is a pause. Each shard stays under `--megabytes`, about 3.5 hours. `--lossless` keeps
the sound as it is, in four times the space.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.next_voice import HOP, NEXT, PHONES, RATE
from training.shards import Writer
from training.teachers.alignment import SIGNS, Timed, timed
from training.utterances import LEAD, LONGEST, TAIL, Utterance, levelled, loud

TEACHER_FRAME = 0.025  # seconds
TEACHER_F0 = 0.0125  # seconds between its F0 values
VOICED = 10.0  # Hz
CUTTING = frozenset(SIGNS.values()) - {","}
PAUSE = 0.16  # seconds; a shorter silence does not separate segments
QUIET = 0.03  # seconds; a shorter silence is no pause
SHORTEST = 0.4  # seconds of a segment

Packed = tuple[int, float, Counter[str]]  # shards, seconds, and the lines left out by reason


def utterances(entry: dict, waveform: np.ndarray, curve: np.ndarray) -> list[Utterance]:
    """The segments of one line of the index. waveform (N,) at RATE; curve (K,): the teacher's F0.

    Raises ValueError with the reason if the line is unusable.
    """
    tokens = timed(entry["phonemes"], entry["durations"], entry["text"], entry["language"])
    edges = boundaries(tokens, loud(waveform))
    f0 = frame_f0(curve, len(waveform) // HOP)
    cuts = [0] + [
        i
        for i, one in enumerate(tokens[:-1])
        if i and one.symbol in CUTTING and edges[i, 1] - edges[i, 0] >= PAUSE
    ]
    return [
        segment(entry, tokens, edges, span, waveform, f0)
        for span in zip(cuts, [*cuts[1:], len(tokens) - 1], strict=True)
        if edges[span[1], 0] - edges[span[0], 1] >= SHORTEST
    ]


def boundaries(tokens: list[Timed], sounds: np.ndarray) -> np.ndarray:
    """The start and end of every token in seconds, (P, 2).

    The teacher counts much of a pause as the phone before it, so the pauses are measured: the longest silence from the
    start of the phone before a sign to the end of the phone after it.
    """
    ends = np.cumsum([one.frames for one in tokens]) * TEACHER_FRAME
    edges = np.stack([np.concatenate([[0.0], ends[:-1]]), ends], axis=1)
    frame, last = HOP / RATE, len(tokens) - 1
    for i, one in enumerate(tokens):
        if i and one.symbol not in SIGNS.values():
            continue
        low, high = edges[max(0, i - 1), 0], edges[min(last, i + 1), 1]
        first = int(np.ceil(low / frame))
        start, stop = longest_silence(sounds[first : int(high / frame)])
        if i == 0:
            start, stop = 0, min(int(np.argmax(sounds)), int(high / frame) - 1)
        elif i == last:
            start, stop = max(len(sounds) - int(np.argmax(sounds[::-1])) - first, 1), len(sounds) - first
        elif (stop - start) * frame < QUIET:
            continue
        edges[i] = (first + start) * frame, (first + stop) * frame
        if i:
            edges[i - 1, 1] = edges[i, 0]
        if i < last:
            edges[i + 1, 0] = edges[i, 1]
    if (np.diff(edges, axis=1) < 0).any() or (np.diff(edges[:, 0]) < 0).any():
        raise ValueError("the measured pauses do not fit the phones")
    return edges


def longest_silence(sounds: np.ndarray) -> tuple[int, int]:
    """The start and stop of the longest run of False."""
    marks = np.flatnonzero(np.diff(np.concatenate([[1], sounds, [1]])))
    if not len(marks):
        return 0, 0
    runs = marks.reshape(-1, 2)
    start, stop = runs[int(np.argmax(runs[:, 1] - runs[:, 0]))]
    return int(start), int(stop)


def segment(
    entry: dict,
    tokens: list[Timed],
    edges: np.ndarray,
    span: tuple[int, int],
    waveform: np.ndarray,
    f0: np.ndarray,
) -> Utterance:
    """The tokens between two pauses, which become its opening and its closing."""
    first, last = span
    begin = max(edges[first, 1] - LEAD, edges[first, 0], 0.0)
    end = min(edges[last, 0] + TAIL, edges[last, 1])
    start = int(begin / (HOP / RATE)) * HOP
    sound = levelled(waveform[start : int(end * RATE)])
    ends = edges[first : last + 1, 1] - start / RATE
    ends[-1] = len(sound) / RATE
    inner = [one.symbol for one in tokens[first + 1 : last + 1]]
    if len(sound) / RATE > LONGEST:
        raise ValueError(f"longer than {LONGEST:g} s")
    if np.diff(ends, prepend=0.0).max() > NEXT.max_stay / NEXT.codes_per_second:
        raise ValueError("a phone is too long")
    own = f0[start // HOP :][: len(sound) // HOP]
    return Utterance(
        speaker=entry["speaker"],
        language=entry["language"],
        text=entry["text"],
        waveform=sound,
        f0=np.pad(own, (0, len(sound) // HOP - len(own))),
        phones=np.array(PHONES.ids((PHONES.pauses[0], *inner)), np.int16),
        ends=ends.astype(np.float32),
        pace=entry["speed"],
    )


def frame_f0(curve: np.ndarray, frames: int) -> np.ndarray:
    """The teacher's F0 at the start of each frame in Hz, 0 where unvoiced, (frames,)."""
    at = np.arange(frames) * (HOP / RATE) / TEACHER_F0
    voiced = curve > VOICED
    if not voiced.any():
        return np.zeros(frames, np.float32)
    steps = np.arange(len(curve))
    f0 = np.interp(at, steps[voiced], curve[voiced])
    return np.where(voiced[np.minimum(at.astype(int), len(curve) - 1)], f0, 0.0).astype(np.float32)


def lines(corpus: Path) -> Iterator[dict]:
    """The usable lines of the index, in the order of their numbers."""
    entries = [
        json.loads(line)
        for path in sorted(corpus.glob("index-*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    yield from sorted((one for one in entries if "file" in one), key=lambda one: one["number"])


def packed(worker: int, corpus: Path, out: Path, megabytes: float, workers: int, lossless: bool) -> Packed:
    """Writes shard-WORKER-000.safetensors and so on, of the lines whose place is `worker` modulo `workers`."""
    shard, count, seconds, left_out = Writer(lossless), 0, 0.0, Counter[str]()
    for entry in islice(lines(corpus), worker, None, workers):
        try:
            made = utterances(entry, *recording(corpus, entry["file"]))
        except ValueError as error:
            left_out[str(error)] += 1
            continue
        for one in made:
            shard.add(one)
        if shard.bytes > megabytes * 2**20 - 2**18:
            shard.store(out / f"shard-{worker}-{count:03d}.safetensors")
            seconds, count, shard = seconds + shard.seconds, count + 1, Writer(lossless)
    if shard.rows:
        shard.store(out / f"shard-{worker}-{count:03d}.safetensors")
        seconds, count = seconds + shard.seconds, count + 1
    return count, seconds, left_out


def recording(corpus: Path, file: str) -> tuple[np.ndarray, np.ndarray]:
    """The samples (N,) at RATE, and the teacher's F0 (K,)."""
    place = corpus / file
    waveform, rate = soundfile.read(place, dtype="float32")
    if rate != RATE:
        waveform = soxr.resample(waveform, rate, RATE)
    curve = np.load(corpus / "curves" / place.parent.name / f"{place.stem}.npy")[0]
    return waveform, curve.astype(np.float32)


def pack(corpus: Path, out: Path, megabytes: float, workers: int = 1, lossless: bool = False) -> None:
    """Writes the shards with `workers` processes. Raises ValueError if the corpus holds nothing usable."""
    how = {"megabytes": megabytes, "workers": workers, "lossless": lossless}
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        parts = pool.map(partial(packed, corpus=corpus, out=out, **how), range(workers))
    count, seconds = sum(part[0] for part in parts), sum(part[1] for part in parts)
    left_out = dict(sum((part[2] for part in parts), Counter[str]()))
    if not count:
        raise ValueError(f"{corpus} contains no usable utterance: {left_out}")
    print(f"{out}: {count} shards, {seconds / 3600:.2f} h, left out: {left_out}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, default=Path("training/runs/packed"))
    parser.add_argument("--megabytes", type=float, default=58.0)
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--lossless", action="store_true", help="FLAC instead of Opus")
    args = parser.parse_args()
    pack(args.corpus, args.out, args.megabytes, args.workers, args.lossless)


if __name__ == "__main__":
    main()
