"""Speak the held-out sentences for the judges: python -m training.judges.render --by teacher --out FOLDER

The teacher speaks them with speakers of the corpus or unseen ones (extra `train`, `training.teachers.fetch`). The
student is the small family with its own voices, with the shipped weights or `--weights`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from training.judges.samples import Sample, store
from training.teachers.speakers import speakers, strangers
from training.teachers.texts import Text, held_out

SPEAKERS = {
    "teacher": {"en": ["af_heart", "am_michael"], "zh": ["zf_xiaoxiao", "zm_yunxi"]},
    "student": {"en": ["clara", "ross"], "zh": ["mei", "wei"]},
}
Say = Callable[[Text, str], tuple[np.ndarray, int]]  # of a speaker: (N,) float32 and its rate


def teacher() -> Say:
    from training.teachers.kokoro import RATE, Kokoro
    from training.teachers.phonemes import Reader

    kokoro = Kokoro()
    reader = Reader(kokoro.folder)
    known = {speaker.name: speaker for speaker in speakers() + strangers()}

    def say(text: Text, voice: str) -> tuple[np.ndarray, int]:
        phonemes = reader.phonemes(text.marked, text.language)
        return kokoro.say(phonemes, known[voice]).waveform, RATE

    return say


def student(weights: Path | None) -> Say:
    from training.shipped import WEIGHTS, Shipped, reference

    nets = Shipped(weights or WEIGHTS)

    def say(text: Text, voice: str) -> tuple[np.ndarray, int]:
        vector = nets.vector(reference(voice))
        (waveform,) = nets.say([text.text], vector, nets.config.temperature, seed=1)
        return waveform, nets.config.sample_rate

    return say


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--by", choices=list(SPEAKERS), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--english", nargs="*", help="English speakers")
    parser.add_argument("--mandarin", nargs="*", help="Mandarin speakers")
    parser.add_argument("--count", type=int, default=40, help="sentences per language")
    parser.add_argument(
        "--weights", type=Path, help="a folder written by training.export (default: the shipped one)"
    )
    args = parser.parse_args()
    if (args.out / "index.jsonl").exists():
        parser.error(f"{args.out} already contains speech")
    say = teacher() if args.by == "teacher" else student(args.weights)
    chosen = {"en": args.english, "zh": args.mandarin}
    for language, usual in SPEAKERS[args.by].items():
        for speaker in usual if chosen[language] is None else chosen[language]:
            for number, text in enumerate(held_out(language)[: args.count]):
                waveform, rate = say(text, speaker)
                sample = Sample(text.text, language, speaker, f"{speaker}/{language}{number:02d}.flac")
                store(args.out, sample, waveform, rate)
    print(args.out)


if __name__ == "__main__":
    main()
