"""Judge the voices: python -m training.judge --json training/runs/judge.json

It speaks the sentences of tests/data/sentences.txt and sentences_zh.txt, 40 each and unseen in training, in every
shipped voice: `teacher`, `copy` (the teacher through the codec) and `gpt` (from text). pocketsphinx with its default
model transcribes English (word errors). training/listener.py transcribes Mandarin (errors of syllables and, separately,
of tones) against readings checked by hand. training/verifier.py measures the likeness of the voice. It prints a
markdown table with 95 % intervals by bootstrap over the sentences.

Copies use several seeds of the vocoder's noise, because the noise alone changes the error rate of a voice by a point.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import jiwer
import numpy as np
import soundfile
import torch

from benchmarks._common import Listener as Sphinx
from benchmarks._common import words
from deployments.text.phones import phone_ids
from training import measures
from training.codec import load_codec
from training.corpus import continuous_pitch
from training.data import utterance
from training.listener import Errors, compare, load_listener, syllables_of
from training.shipped import Shipped, add_weights, reference
from training.utterances import RATE, Utterance
from training.verifier import load_verifier
from training.voices import PHONES_ZH, SENTENCES, VOICES
from training.warm import SHIPPED

MODES = ("teacher", "copy", "gpt")
Rate = tuple[float, float, float]  # a rate and its interval


@dataclass
class Verdict:
    """One voice in one mode. error: of words or syllables. tone: of the tones of recognised syllables."""

    mode: str
    voice: str
    language: str
    temperature: float | None
    sentences: int
    error: Rate
    tone: Rate | None
    similarity: float | None  # mean cosine to the reference
    length: Rate  # ratio to the teacher: mean, minimum, maximum
    f0: float  # Hz, median
    f0_teacher: float
    f0_error: float | None  # semitones, RMS along the warped path
    voicing_error: float | None
    mcd: float | None  # dB
    clicks: int
    loudness: float  # dB
    heard: list[str] = field(default_factory=list)


class Judge:
    def __init__(
        self, runs: Path, count: int, keep: Path | None, weights: Path, codec: str, noises: int
    ) -> None:
        self.keep, self.noises = keep, noises
        self.sentences = {k: path.read_text("utf-8").splitlines()[:count] for k, path in SENTENCES.items()}
        self.codec = load_codec(codec)
        self.shipped = Shipped(weights)
        self.verifier = load_verifier(runs / "verifier.pt") if (runs / "verifier.pt").exists() else None
        self.listener = load_listener(runs / "listener.pt") if (runs / "listener.pt").exists() else None
        self.sphinx = Sphinx()
        self.teachers: dict[str, list[Utterance]] = {}

    def teacher(self, voice: str) -> list[Utterance]:
        if voice not in self.teachers:
            texts, persona = self.sentences[VOICES[voice].language], VOICES[voice].persona
            self.teachers[voice] = [utterance(text, persona) for text in texts]
        return self.teachers[voice]

    def speak(self, mode: str, voice: str, temperature: float, seed: int) -> list[np.ndarray]:
        if mode == "teacher":
            return [u.waveform for u in self.teacher(voice)]
        vector = self.shipped.vector(reference(voice))
        if mode == "gpt":
            return self.shipped.say(self.sentences[VOICES[voice].language], vector, temperature, seed)
        return [self.copied(u, vector, seed + i) for i in range(self.noises) for u in self.teacher(voice)]

    @torch.inference_mode()
    def copied(self, item: Utterance, vector: torch.Tensor, seed: int) -> np.ndarray:
        frames = self.shipped.mel(torch.from_numpy(item.waveform).unsqueeze(0))
        log_f0, voiced, mean = continuous_pitch(item.f0)
        tracks = torch.from_numpy(log_f0).unsqueeze(0), torch.from_numpy(voiced).unsqueeze(0)
        _, codes = self.codec.encode(frames, *tracks, frames.mean(1), torch.tensor([mean]))
        return self.shipped.sound(codes[0], vector, seed)

    def hear(self, language: str, waveforms: list[np.ndarray]) -> tuple[Rate, Rate | None, list[str]]:
        """The error rate, the tone error rate and the transcripts of all sentences in order, repeated or not."""
        times = len(waveforms) // len(self.sentences[language])
        texts = self.sentences[language] * times
        if language == "en":
            heard = [self.sphinx.hear(t, w, RATE) for t, w in zip(texts, waveforms, strict=True)]
            counts = [
                jiwer.process_words(words(t), h or "nothing") for t, h in zip(texts, heard, strict=True)
            ]
            wrong = [c.substitutions + c.deletions + c.insertions for c in counts]
            said = [len(words(t).split()) for t in texts]
            return measures.interval(*np.array([wrong, said]).reshape(2, times, -1).sum(1)), None, heard
        assert self.listener is not None
        every, heard = [], []
        readings = PHONES_ZH.read_text("utf-8").splitlines()[: len(texts) // times] * times
        for meant, waveform in zip(readings, waveforms, strict=True):
            ids, errors = self.listener.hear(waveform), Errors()
            compare(phone_ids(meant.split()), ids, errors)
            every.append([errors.wrong, errors.syllables, errors.tones, errors.matched])
            heard.append(" ".join("".join(pair) for pair in syllables_of(ids)))
        wrong, syllables, tones, matched = np.array(every).T.reshape(4, times, -1).sum(1)
        return measures.interval(wrong, syllables), measures.interval(tones, matched), heard

    @torch.inference_mode()
    def similarity(self, waveforms: list[np.ndarray], reference: np.ndarray) -> float | None:
        """The mean cosine of the embeddings to that of the reference; None without a trained verifier."""
        if self.verifier is None:
            return None
        own = self.verifier(torch.from_numpy(reference).unsqueeze(0))[0]
        return float(
            np.mean([float(self.verifier(torch.from_numpy(w).unsqueeze(0))[0] @ own) for w in waveforms])
        )

    def verdict(self, mode: str, voice: str, temperature: float, seed: int) -> Verdict:
        waveforms, language = self.speak(mode, voice, temperature, seed), VOICES[voice].language
        taught = [u.waveform for u in self.teacher(voice)]
        teacher = taught * (len(waveforms) // len(taught))
        error, tone, heard = self.hear(language, waveforms)
        f0_error = voicing = mcd = None
        if mode != "teacher":
            mels = [
                [self.shipped.mel(torch.from_numpy(w).unsqueeze(0))[0].numpy() for w in ws]
                for ws in (waveforms, teacher)
            ]
            found = [measures.distance(a, b) for a, b in zip(*mels, strict=True)]
            pitches = [
                measures.pitch_errors(a, b, path)
                for a, b, (_, path) in zip(waveforms, teacher, found, strict=True)
            ]
            mcd = float(np.mean([d for d, _ in found]))
            f0_error, voicing = (float(value) for value in np.mean(pitches, axis=0))
        if self.keep:
            self.store(f"{mode}-{voice}", waveforms, language, heard)
        lengths = np.array([len(a) / len(b) for a, b in zip(waveforms, teacher, strict=True)])
        return Verdict(
            mode,
            voice,
            language,
            temperature if mode == "gpt" else None,
            len(taught),
            error,
            tone,
            self.similarity(waveforms, reference(voice)),
            (float(lengths.mean()), float(lengths.min()), float(lengths.max())),
            measures.median_f0(waveforms),
            measures.median_f0(teacher),
            f0_error,
            voicing,
            mcd,
            sum(map(measures.clicks, waveforms)),
            float(np.mean([measures.loudness(w) for w in waveforms])),
            heard,
        )

    def store(self, name: str, waveforms: list[np.ndarray], language: str, heard: list[str]) -> None:
        assert self.keep is not None
        (self.keep / name).mkdir(parents=True, exist_ok=True)
        for index, waveform in enumerate(waveforms):
            soundfile.write(self.keep / name / f"{index:02d}.wav", np.clip(waveform, -1, 1), RATE)
        texts = self.sentences[language] * (len(heard) // len(self.sentences[language]))
        lines = [f"{a} | {b}" for a, b in zip(texts, heard, strict=True)]
        (self.keep / name / "heard.txt").write_text("\n".join(lines) + "\n", "utf-8")


def percent(rate: Rate | None) -> str:
    return "" if rate is None else f"{rate[0]:.1%} ({rate[1]:.1%}-{rate[2]:.1%})"


def table(verdicts: list[Verdict]) -> str:
    """Markdown."""
    lines = [
        "| | voice | WER or syllables | tones | likeness | length: mean (min-max) | F0 (teacher), Hz "
        "| F0 error | voicing | MCD | clicks | loudness, dB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for v in verdicts:
        apart = [
            "" if value is None else form.format(value)
            for value, form in ((v.f0_error, "{:.1f}"), (v.voicing_error, "{:.1%}"), (v.mcd, "{:.2f}"))
        ]
        length = "" if v.mode == "teacher" else "{:.2f} ({:.2f}-{:.2f})".format(*v.length)
        likeness = "" if v.similarity is None else f"{v.similarity:.2f}"
        f0 = f"{v.f0:.0f} ({v.f0_teacher:.0f})"
        mode = v.mode if v.temperature is None else f"{v.mode} {v.temperature:g}"
        cells = [mode, v.voice, percent(v.error), percent(v.tone), likeness, length, f0, *apart]
        lines.append("| " + " | ".join([*cells, str(v.clicks), f"{v.loudness:.1f}"]) + " |")
    return "\n".join(lines)


def summary(verdicts: list[Verdict]) -> str:
    """Means over the voices of each language and mode."""
    lines = []
    for key in dict.fromkeys((v.language, v.mode, v.temperature) for v in verdicts):
        own = [v for v in verdicts if (v.language, v.mode, v.temperature) == key]
        error, tone = (
            np.mean([v.error[0] for v in own]),
            np.mean([v.tone[0] if v.tone else np.nan for v in own]),
        )
        line = f"{key[0]} {key[1]}: mean of {len(own)} voices {error:.1%}, best {min(v.error[0] for v in own):.1%}"
        lines.append(line + ("" if np.isnan(tone) else f"; tones {tone:.1%}"))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--voices", nargs="+", default=list(VOICES), choices=list(VOICES))
    parser.add_argument("--temperatures", nargs="+", type=float, help="default: the model's")
    parser.add_argument("--count", type=int, default=40, help="sentences")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noises", type=int, default=4, help="seeds of each copy's noise")
    parser.add_argument("--runs", type=Path, default=Path("training/runs"), help="checkpoints of the judges")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for the waveforms and transcripts")
    add_weights(parser)
    parser.add_argument("--codec", default=SHIPPED, help="the checkpoint with the encoder of --weights")
    args = parser.parse_args()

    if args.keep and len(args.temperatures or ()) > 1:
        parser.error("--keep allows only one of --temperatures")
    torch.set_num_threads(1)
    judge = Judge(args.runs, args.count, args.keep, args.weights, args.codec, args.noises)
    verdicts: list[Verdict] = []
    if judge.listener is None and any(VOICES[voice].language == "zh" for voice in args.voices):
        parser.error(f"{args.runs}/listener.pt is missing: run training.listener, or give English --voices")
    for mode in args.modes:
        for heat in (args.temperatures or [judge.shipped.config.temperature]) if mode == "gpt" else [0.0]:
            for voice in args.voices:
                verdicts.append(judge.verdict(mode, voice, heat, args.seed))
                print(table(verdicts[-1:]).splitlines()[-1], flush=True)
                if args.json:
                    args.json.parent.mkdir(parents=True, exist_ok=True)
                    args.json.write_text(json.dumps([asdict(v) for v in verdicts], indent=2) + "\n")
    print(table(verdicts), summary(verdicts), sep="\n\n")


if __name__ == "__main__":
    main()
