"""Compare folders of speech: python -m training.judges.judge TEACHER STUDENT ... --json FILE

The folders come from `training.judges.render` or `training.teachers.make_corpus`. A row is one speaker of one folder
and language. Errors are counted in words, in Mandarin in characters and also in toned syllables, because the recogniser
cannot distinguish homophones. Likeness is the cosine to the mean of the speaker's other utterances in the first folder;
length is the ratio to the same text there. Intervals are 95 %, by bootstrap over the utterances.

Needs the extra `judge` and `training.judges.fetch`.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import jiwer
import numpy as np
import torch

from training import measures
from training.judges.hearing import Rater, Recogniser, Verifier, syllables, units
from training.judges.samples import RATE, Sample, load
from training.pitch import measured_f0

COLUMNS = (
    " ,speaker,language,utterances,errors,syllables,DistillMOS,likeness,length,F0 in Hz,F0 spread in semitones,"
    "loudness in dB,clicks"
).split(",")
Range = tuple[float, float, float]  # a value and its interval


@dataclass
class Heard:
    """The judges' results for one utterance."""

    sample: Sample
    text: str
    wrong: int
    said: int
    missed: int | None  # wrong Mandarin syllables, ignoring homophones
    mos: float
    embedding: np.ndarray
    seconds: float
    f0: np.ndarray  # (F,) Hz where voiced
    loudness: float
    clicks: int


@dataclass
class Verdict:
    """One speaker of one folder. spread: of F0, in semitones. tempo: lengths relative to the first folder."""

    folder: str
    speaker: str
    language: str
    utterances: int
    error: Range
    missed: Range | None
    mos: Range
    likeness: Range | None
    tempo: Range | None
    f0: float
    spread: float
    loudness: float
    clicks: int


class Judges:
    def __init__(self) -> None:
        self.recogniser, self.rater, self.verifier = Recogniser(), Rater(), Verifier()

    def hear(self, folder: Path, sample: Sample) -> Heard:
        waveform = sample.waveform(folder)
        language = "en" if sample.language == "en" else "zh"
        text = self.recogniser.hear(waveform, language)
        wrong, said = errors(sample.text, text, language)
        f0 = measured_f0(waveform, RATE)
        return Heard(
            sample=sample,
            text=text,
            wrong=wrong,
            said=said,
            missed=None if language == "en" else distance(syllables(sample.text), syllables(text)),
            mos=self.rater.rate(waveform),
            embedding=self.verifier.embed(waveform),
            seconds=len(waveform) / RATE,
            f0=f0[f0 > 0],
            loudness=measures.loudness(waveform),
            clicks=measures.clicks(waveform),
        )


def errors(meant: str, heard: str, language: str) -> tuple[int, int]:
    """The number of wrong words (characters in Mandarin), and the number of all."""
    said = units(meant, language)
    return distance(said, units(heard, language)), len(said)


def distance(meant: list[str], heard: list[str]) -> int:
    """Substitutions, deletions and insertions."""
    counts = jiwer.process_words(" ".join(meant), " ".join(heard) or "nothing")
    return counts.substitutions + counts.deletions + counts.insertions


def mean(values: list[float], seed: int = 0, draws: int = 2000) -> Range:
    """A mean and its 95 % interval by bootstrap."""
    every = np.array(values)
    drawn = every[np.random.default_rng(seed).integers(0, len(every), (draws, len(every)))].mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(every.mean()), float(low), float(high)


def likeness(heard: list[Heard], first: list[Heard]) -> list[float]:
    """The cosine of each utterance to the mean of the speaker's other utterances in the first folder."""
    found = []
    for item in heard:
        others = [other.embedding for other in first if other is not item]
        if others:
            usual = np.mean(others, axis=0)
            found.append(float(item.embedding @ usual / np.linalg.norm(usual)))
    return found


def verdict(folder: str, heard: list[Heard], first: list[Heard]) -> Verdict:
    """The verdict for one speaker and language. first: the same speaker in the first folder; may be empty."""
    said, missed = np.array([item.said for item in heard]), [item.missed for item in heard]
    lengths = {item.sample.text: item.seconds for item in first}
    alike = likeness(heard, first)
    tempo = [item.seconds / lengths[item.sample.text] for item in heard if item.sample.text in lengths]
    f0 = np.concatenate([item.f0 for item in heard])
    spreads = [float(np.std(12 * np.log2(item.f0))) for item in heard if len(item.f0)]
    return Verdict(
        folder=folder,
        speaker=heard[0].sample.speaker,
        language=heard[0].sample.language,
        utterances=len(heard),
        error=measures.interval(np.array([item.wrong for item in heard]), said),
        missed=None if None in missed else measures.interval(np.array(missed), said),
        mos=mean([item.mos for item in heard]),
        likeness=mean(alike) if alike else None,
        tempo=mean(tempo) if tempo and heard is not first else None,
        f0=float(np.median(f0)) if len(f0) else 0.0,
        spread=float(np.mean(spreads)) if spreads else 0.0,
        loudness=float(np.mean([item.loudness for item in heard])),
        clicks=sum(item.clicks for item in heard),
    )


def verdicts(folders: dict[str, list[Heard]], together: bool = False) -> list[Verdict]:
    """together: one row per folder and language instead of one per speaker."""
    groups: dict[str, dict[tuple[str, str], list[Heard]]] = {name: defaultdict(list) for name in folders}
    for name, heard in folders.items():
        for item in heard:
            groups[name]["all" if together else item.sample.speaker, item.sample.language].append(item)
    first = next(iter(groups.values()))
    made = []
    for key in dict.fromkeys(key for group in groups.values() for key in group):
        for name, group in groups.items():
            if key in group:
                row = verdict(name, group[key], first.get(key, []))
                if together:
                    row.speaker, row.likeness = "all", None
                made.append(row)
    return made


def table(rows: list[Verdict]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for row in rows:
        shares = ["" if r is None else "{:.1%} ({:.1%}-{:.1%})".format(*r) for r in (row.error, row.missed)]
        others = [
            "" if r is None else "{:.2f} ({:.2f}-{:.2f})".format(*r)
            for r in (row.mos, row.likeness, row.tempo)
        ]
        plain = [f"{row.f0:.0f}", f"{row.spread:.1f}", f"{row.loudness:.1f}", str(row.clicks)]
        cells = [row.folder, row.speaker, row.language, str(row.utterances), *shares, *others, *plain]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--count", type=int, help="only the first utterances of each folder")
    parser.add_argument("--together", action="store_true", help="one row per folder and language")
    parser.add_argument("--heard", action="store_true", help="print the transcripts with errors")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if len({folder.name for folder in args.folders}) < len(args.folders):
        parser.error("two folders have the same name")
    torch.set_num_threads(1)
    judges = Judges()
    heard = {}
    for folder in args.folders:
        heard[folder.name] = [judges.hear(folder, sample) for sample in load(folder)[: args.count]]
    if args.heard:
        for name, items in heard.items():
            for item in items:
                if item.wrong:
                    print(f"{name} {item.sample.speaker}: {item.sample.text} | {item.text}")
    rows = verdicts(heard, args.together)
    print(table(rows))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
