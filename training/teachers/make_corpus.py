"""Make the natural corpus: python -m training.teachers.make_corpus --hours 15 --workers 2 --out FOLDER

Run `training.teachers.fetch` first, and install the extra `train`. Utterance `i` (language, speaker, pace, text)
depends only on the seed and `i`. A killed run resumes where it stopped; SIGSTOP to its process group pauses it. Start
it with `nice -n 19` on a shared machine.

    audio/000/000123.flac    24 kHz, 16 bits
    curves/000/000123.npy    float16 (2, 2 F): F0 in Hz (below 10: unvoiced) and energy, two values per frame
    index-0.jsonl            one file per worker, one line of JSON per utterance, with durations in frames of 25 ms
    strangers.json           the speakers reserved for tests of cloning

`durations` counts the frames of the silence before, of each character in `phonemes`, and of the silence after. They sum
to the file's length. A line with `dropped` describes an utterance that failed the checks.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from training.teachers.kokoro import FRAME, RATE, VOICED, Kokoro, Spoken
from training.teachers.phonemes import Reader
from training.teachers.speakers import Speaker, speakers, strangers
from training.teachers.texts import Text, Writer, vocabularies

ENGLISH = 0.55  # the share of English texts
FOREIGN = 0.33  # the share of Mandarin texts spoken by English voices
MIXED = 0.12  # the share of Mandarin texts with English words
PLAIN = 0.35  # the share spoken by single voices instead of blends
USUAL = 0.6  # the share spoken at nearly the usual pace
SPEEDS = 0.8, 1.25
PEAK = 0.99  # louder utterances are scaled to this peak
LOUDEST = 4.0  # an utterance with a larger sample is not speech
QUIETEST = 0.01  # RMS
FASTEST, SLOWEST = 0.03, 0.2  # seconds per phoneme, without the silence at the edges
VOICELESS = 0.15  # the least share of voiced F0 values


@dataclass(frozen=True)
class Order:
    """The specification of one utterance."""

    number: int
    text: Text
    speaker: Speaker
    speed: float


class Plan:
    """Every utterance by its number."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        words = vocabularies()
        self._writers = {language: Writer(language, words[language], seed) for language in ("en", "zh")}
        self._speakers = speakers()

    def order(self, number: int) -> Order:
        rng = random.Random(f"order {self.seed} {number}")
        english = rng.random() < ENGLISH
        home = "en" if english or rng.random() < FOREIGN else "zh"
        mixed = home == "en" and not english and rng.random() < MIXED / FOREIGN
        plain = rng.random() < PLAIN
        choices = [s for s in self._speakers if s.home == home and (len(s.voices) == 1) == plain]
        text = self._writers["en" if english else "zh"].text(number, mixed)
        return Order(number, text, rng.choice(choices), pace(rng))


def pace(rng: random.Random) -> float:
    speed = rng.gauss(1.0, 0.04) if rng.random() < USUAL else rng.uniform(*SPEEDS)
    return round(min(max(speed, SPEEDS[0]), SPEEDS[1]), 3)


def fault(spoken: Spoken) -> str | None:
    """The reason why an utterance is unfit for training, or None."""
    waveform, durations = spoken.waveform, spoken.durations
    if not np.isfinite(waveform).all():
        return "not finite"
    if durations.sum() * FRAME != len(waveform):
        return "durations do not sum to the length"
    if np.abs(waveform).max() > LOUDEST:
        return "too loud"
    if np.sqrt(np.mean(waveform**2)) < QUIETEST:
        return "silent"
    each = durations[1:-1].sum() * FRAME / RATE / (len(durations) - 2)
    if not FASTEST <= each <= SLOWEST:
        return "too fast or too slow"
    if np.mean(spoken.f0 > VOICED) < VOICELESS:
        return "voiceless"
    return None


def done(out: Path, seed: int) -> dict[int, float]:
    """The finished and dropped utterances, and their seconds. Removes an incomplete last line.

    Raises ValueError if the folder holds utterances of another seed.
    """
    found: dict[int, float] = {}
    for path in out.glob("index-*.jsonl"):
        data = path.read_bytes()
        if not data.endswith(b"\n"):
            data = data[: data.rfind(b"\n") + 1]
            path.write_bytes(data)
        for line in data.splitlines():
            entry = json.loads(line)
            if entry["seed"] != seed:
                raise ValueError(f"{out} holds utterances of seed {entry['seed']}")
            found[entry["number"]] = entry.get("seconds", 0.0)
    return found


def produce(order: Order, teacher: Kokoro, reader: Reader, out: Path, seed: int) -> dict:
    """Synthesises one utterance and returns its line of the index. Its files are complete or absent."""
    text, speaker = order.text, order.speaker
    entry = {"number": order.number, "seed": seed, "text": text.text, "language": text.language}
    entry |= {"speaker": speaker.name, "home": speaker.home, "voices": speaker.voices, "speed": order.speed}
    try:
        phonemes = reader.phonemes(text.marked, "en" if text.language == "en" else "zh")
        spoken = teacher.say(phonemes, speaker, order.speed)
    except (KeyError, ValueError) as error:  # a word without a reading, or too many phonemes
        return entry | {"dropped": f"{type(error).__name__}: {error}"}
    entry["phonemes"] = phonemes
    if why := fault(spoken):
        return entry | {"dropped": why}
    place = f"{order.number // 1000:03d}/{order.number:06d}"
    sound, curves = turned_down(spoken.waveform), np.stack([spoken.f0, spoken.energy]).astype(np.float16)
    _store(out / "curves" / f"{place}.npy", lambda file: np.save(file, curves))
    _store(out / "audio" / f"{place}.flac", lambda file: soundfile.write(file, sound, RATE, format="FLAC"))
    seconds = round(len(sound) / RATE, 3)
    return entry | {"durations": spoken.durations.tolist(), "seconds": seconds, "file": f"audio/{place}.flac"}


def turned_down(waveform: np.ndarray) -> np.ndarray:
    """The waveform (N,), scaled down if it would clip."""
    return waveform * min(1.0, PEAK / np.abs(waveform).max())


def _store(path: Path, write: Callable[[BinaryIO], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        write(file)
    os.replace(unfinished, path)


def work(
    worker: int, workers: int, hours: float, seed: int, bfloat16: bool, out: Path, made: dict[int, float]
) -> None:
    """Produces every utterance whose number is `worker` modulo `workers`, until this worker's share is complete."""
    plan, teacher = Plan(seed), Kokoro(bfloat16=bfloat16)
    reader = Reader(teacher.folder)
    wanted = hours * 3600 / workers
    total = sum(seconds for number, seconds in made.items() if number % workers == worker)
    began, new, number = time.monotonic(), 0.0, worker
    with (out / f"index-{worker}.jsonl").open("a", encoding="utf-8") as index:
        while total < wanted:
            if number not in made:
                entry = produce(plan.order(number), teacher, reader, out, seed)
                index.write(json.dumps(entry, ensure_ascii=False) + "\n")
                index.flush()
                new += entry.get("seconds", 0.0)
                total += entry.get("seconds", 0.0)
                if number // workers % 50 == 0:
                    rate = new / (time.monotonic() - began)
                    print(f"worker {worker}: {total / 3600:.2f} h, {rate:.2f} times real time", flush=True)
            number += workers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("training/runs/natural"))
    parser.add_argument("--hours", type=float, default=15.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--bfloat16", action="store_true", help="2.5 times as fast on a CPU with AMX or AVX512-BF16"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    kept_out = [asdict(speaker) for speaker in strangers()]
    (args.out / "strangers.json").write_text(json.dumps(kept_out, indent=1) + "\n")
    made = done(args.out, args.seed)
    context = multiprocessing.get_context("spawn")
    shares = (args.workers, args.hours, args.seed, args.bfloat16, args.out, made)
    processes = [context.Process(target=work, args=(worker, *shares)) for worker in range(args.workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a worker failed; the same command resumes")


if __name__ == "__main__":
    main()
