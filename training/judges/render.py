"""Speak the held-out sentences for the judges: python -m training.judges.render --by teacher --out FOLDER

The teacher speaks them as the voices of `training.references`, or with speakers of the corpus or unseen ones (extra
`train`, `training.teachers.fetch`). The student is the small family with the shipped weights or those of `--weights`,
as in the service with default settings. Its speakers are recordings NAME.flac or NAME.wav of a folder: the shipped
voices, or `--voices`, which may be strangers to clone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from training.judges.samples import Sample, store
from training.references import shipped
from training.teachers.speakers import speakers, strangers
from training.teachers.texts import Text, held_out

SHIPPED_VOICES = Path("deployments/families/small/voices")
SEED = 1
SPEAKERS = {"en": ["clara", "ross"], "zh": ["mei", "tao"]}
Say = Callable[[Text, str, float], tuple[np.ndarray, int]]  # speaker and speed: (N,) float32 and its rate


@contextmanager
def teacher() -> Iterator[Say]:
    from training.teachers.kokoro import RATE, Kokoro
    from training.teachers.phonemes import Reader

    kokoro = Kokoro()
    reader = Reader(kokoro.folder)
    known = {speaker.name: speaker for speaker in speakers() + strangers()}
    known |= shipped()

    def say(text: Text, voice: str, speed: float) -> tuple[np.ndarray, int]:
        phonemes = reader.phonemes(text.marked, text.language)
        return kokoro.say(phonemes, known[voice], speed).waveform, RATE

    yield say


@contextmanager
def student(weights: Path | None, voices: Path) -> Iterator[Say]:
    """Raises KeyError for a speaker without a recording."""
    from serve_app.cli.speaker import Speaker
    from serve_app.config.settings import Settings
    from serve_app.voices.library import recordings

    files = {path.stem: path for path in recordings(voices)}
    options = {"weights": str(weights)} if weights else {}
    settings = {"device": {"preference": "cpu"}, "family": {"name": "small", "options": options}}
    with Speaker(Settings.from_args(settings)) as speaker:

        def say(text: Text, voice: str, speed: float) -> tuple[np.ndarray, int]:
            said = speaker.say(text.text, recording=files[voice].read_bytes(), seed=SEED, speed=speed)
            return said.waveform, said.rate

        yield say


def turn(speakers: list[str], number: int, each: int | None) -> list[str]:
    """The speakers of a sentence: all, or the next `each` of them after those of the sentence before."""
    if each is None:
        return speakers
    return [speakers[(number * each + place) % len(speakers)] for place in range(min(each, len(speakers)))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--by", choices=["teacher", "student"], required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--english", nargs="*", help="English speakers")
    parser.add_argument("--mandarin", nargs="*", help="Mandarin speakers")
    parser.add_argument("--count", type=int, default=40, help="sentences per language")
    parser.add_argument("--each", type=int, help="speakers of each sentence, in turn (all)")
    parser.add_argument("--speed", type=float, default=1.0, help="1.1 is a tenth faster (1)")
    parser.add_argument(
        "--weights", type=Path, help="a folder written by training.voice (default: the shipped one)"
    )
    parser.add_argument(
        "--voices", type=Path, help="recordings of the student's speakers, each in both languages"
    )
    args = parser.parse_args()
    if (args.out / "index.jsonl").exists():
        parser.error(f"{args.out} already contains speech")
    if args.each is not None and args.each < 1:
        parser.error("--each: at least 1")
    known = SPEAKERS
    if args.voices:
        from serve_app.voices.library import recordings

        names = [path.stem for path in recordings(args.voices)]
        known = {"en": names, "zh": names}
    speakers = {
        "en": known["en"] if args.english is None else args.english,
        "zh": known["zh"] if args.mandarin is None else args.mandarin,
    }
    by = teacher() if args.by == "teacher" else student(args.weights, args.voices or SHIPPED_VOICES)
    with by as say:
        for language, own in speakers.items():
            for number, text in enumerate(held_out(language)[: args.count]):
                for speaker in turn(own, number, args.each):
                    waveform, rate = say(text, speaker, args.speed)
                    sample = Sample(text.text, language, speaker, f"{speaker}/{language}{number:02d}.flac")
                    store(args.out, sample, waveform, rate)
    print(args.out)


if __name__ == "__main__":
    main()
