"""Make the corpus: python -m training.data --count 16000

Every utterance is one training sentence by a pseudo-speaker (personas.py) with its phones, their end times (NaN if the
teacher does not report them; align.py fills them in), and F0 (pyworld). It is written to training/runs/data/.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import random
import re
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from deployments.text.mandarin.pinyin import HANZI, syllables
from deployments.text.phones import PAUSE, QUESTION, closing_pause, phone_ids
from training import personas
from training.espeak import espeak
from training.personas import Persona
from training.prosody import rising
from training.teachers.classic import STRANGERS, TEACHERS, Said
from training.utterances import (
    F0_CEIL,
    F0_FLOOR,
    HOP,
    LEAD,
    LONGEST,
    RATE,
    TAIL,
    Utterance,
    levelled,
    next_shard,
    sounding,
    store,
)
from training.voices import VOICES

PLAIN_SHARE = 0.4  # the share of utterances by unchanged teachers
MANDARIN_SHARE = 0.35
HASTE_SHARE, FAST_AND_SLOW, USUAL = 0.35, (0.5, 2.0), (0.95, 1.06)  # paces
TEXT = {"en": Path("training/runs/text.txt"), "zh": Path("training/runs/text_zh.txt")}


def pitch(waveform: np.ndarray) -> np.ndarray:
    """F0 in Hz per frame of HOP samples, 0 where unvoiced."""
    import pyworld  # not needed for the judges

    samples = waveform.astype(np.float64)
    coarse, times = pyworld.dio(
        samples, RATE, frame_period=1000 * HOP / RATE, f0_floor=F0_FLOOR, f0_ceil=F0_CEIL
    )
    f0 = pyworld.stonemask(samples, coarse, times, RATE)
    frames = len(waveform) // HOP
    return np.pad(f0, (0, max(0, frames - len(f0))))[:frames].astype(np.float32)


def say(text: str, persona: Persona, pace: float = 1.0) -> Said:
    """The teacher's speech, before the persona changes it. Raises ValueError if its words are wrong."""
    pace /= persona.warp
    if persona.language == "zh":
        clauses = [made for run in re.split(f"[^{HANZI}]+", text) if run and (made := syllables(run))]
        return espeak().say(clauses, persona.teacher, pace, persona.asked_pitch)
    teacher = (TEACHERS | STRANGERS)[persona.teacher]
    return teacher.say(text, pace, persona.asked_pitch if teacher.steers else 1.0)


def utterance(text: str, persona: Persona, pace: float = 1.0) -> Utterance:
    """Speaks `text`, trims its edge pauses, applies the persona, and normalises the level.

    Raises ValueError for unexpected phones.
    """
    said = say(text, persona, pace)
    waveform, phones, ends = said.waveform, said.phones, said.ends
    if phones[0] != PAUSE or phones[-1] != PAUSE or any(a == b == PAUSE for a, b in pairwise(phones)):
        raise ValueError(f"unexpected phones for {text!r}: {phones}")
    begin, end = sounding(waveform) if ends is None else (ends[0], ends[-2])
    start, stop = max(0.0, begin - LEAD), min(len(waveform) / RATE, end + TAIL)
    waveform = persona.moved(waveform[int(start * RATE) : int(stop * RATE)])
    closing = closing_pause(text.translate(str.maketrans("？！。", "?!.")))
    if closing == QUESTION:
        waveform = rising(waveform)
    ends = np.full(len(phones), np.nan) if ends is None else (np.minimum(ends, stop) - start) / persona.warp
    waveform = levelled(waveform)
    ids = np.array(phone_ids([*phones[:-1], closing]), np.int16)
    return Utterance(persona.name, text, waveform, pitch(waveform), ids, ends.astype(np.float32), pace)


def cast_of(args: argparse.Namespace) -> dict[str, list[Persona]]:
    """The speakers by language. A language without speakers is left out."""
    casts = {"en": personas.english(), "zh": personas.mandarin()}
    if args.strangers:
        casts = {"en": personas.strangers()}
    if args.voices:
        casts = {k: [v.persona for v in VOICES.values() if v.language == k] for k in casts}
    if args.only:
        casts = {k: [p for p in everyone if p.teacher in args.only] for k, everyone in casts.items()}
    return {language: everyone for language, everyone in casts.items() if everyone}


def make_shard(shard: int, first: int, args: argparse.Namespace) -> None:
    """Writes one process's share of the utterances as flat arrays with their lengths. first: the first shard."""
    rng = random.Random(100 + shard)
    texts = {language: path.read_text().splitlines() for language, path in TEXT.items()}
    casts, out = cast_of(args), args.out
    made: list[Utterance] = []
    begin, total = time.time(), 0.0
    for _ in range(shard - first, args.count, args.processes):
        language = "zh" if rng.random() < MANDARIN_SHARE else "en"
        language = language if language in casts else next(iter(casts))
        plain = rng.random() < PLAIN_SHARE
        cast = [p for p in casts[language] if plain == (p.warp == p.pitch == 1.0)]
        text = rng.choice(texts[language])
        pace = math.exp(rng.uniform(*map(math.log, FAST_AND_SLOW if rng.random() < HASTE_SHARE else USUAL)))
        try:
            item = utterance(text, rng.choice(cast), pace)
        except (ValueError, KeyError, IndexError, subprocess.CalledProcessError) as error:
            print("left out:", str(error)[:200], flush=True)
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
    store(made, out, shard)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("training/runs/data"))
    parser.add_argument("--count", type=int, default=16000)
    parser.add_argument("--strangers", action="store_true", help="speakers reserved for the judges")
    parser.add_argument("--voices", action="store_true", help="only the shipped voices")
    parser.add_argument("--only", nargs="+", metavar="TEACHER", help="only these and their personas")
    parser.add_argument(
        "--append", action="store_true", help="append to the folder instead of replacing its content"
    )
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()

    first = next_shard(args.out, args.append)
    workers = [
        multiprocessing.Process(target=make_shard, args=(first + s, first, args))
        for s in range(args.processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit("a process failed: its part is missing")


if __name__ == "__main__":
    main()
