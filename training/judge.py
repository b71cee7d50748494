"""Judge the voices: python -m training.judge --modes teacher copy gpt --json training/runs/judge.json

Speaks the 40 sentences of tests/data/sentences.txt with every shipped voice and lets pocketsphinx (its default English
model, no hints) write down what it hears. `teacher`: flite itself; `copy`: flite through the codec; `gpt`: from phones.
Prints a markdown table: word error rate, length against the teacher's, median F0, compute seconds per audio second.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import jiwer
import numpy as np
import soundfile
import torch
from pocketsphinx import Decoder

from training.codec import load_codec
from training.corpus import continuous_pitch
from training.data import RATE, Utterance, pitch, utterance
from training.generate import generate
from training.synthesize import Speaker
from training.voices import VOICES

SENTENCES = Path("tests/data/sentences.txt")


@dataclass
class Verdict:
    """One voice in one mode."""

    mode: str
    voice: str
    temperature: float | None
    sentences: int
    wer: float
    length_mean: float  # ratio to the teacher
    length_min: float
    length_max: float
    f0: float  # Hz, median
    f0_teacher: float
    gpt_rtf: float | None = None
    vocoder_rtf: float | None = None


def words(text: str) -> str:
    return re.sub(r"[^a-z' ]", "", text.lower()).strip()


class Listener:
    """pocketsphinx."""

    def __init__(self) -> None:
        self.decoder = Decoder(loglevel="FATAL")

    def hear(self, waveform: np.ndarray) -> str:
        """16 kHz waveform (N,) -> words."""
        level = 0.7 / max(1e-4, float(np.abs(waveform).max()))
        samples = np.pad((waveform * level * 32767).astype(np.int16), int(0.2 * RATE))
        self.decoder.start_utt()
        self.decoder.process_raw(samples.tobytes(), full_utt=True)
        self.decoder.end_utt()
        heard = self.decoder.hyp().hypstr if self.decoder.hyp() else ""
        return re.sub(r"\(\d+\)|<\w+>|\[\w+\]", "", heard).strip()


def median_f0(waveforms: list[np.ndarray]) -> float:
    values = np.concatenate([pitch(w) for w in waveforms])
    return float(np.median(values[values > 0])) if (values > 0).any() else 0.0


class Judge:
    def __init__(self, count: int, keep: Path | None) -> None:
        self.sentences = SENTENCES.read_text().splitlines()[:count]
        self.listener, self.speaker, self.keep = Listener(), Speaker(), keep
        self.teachers: dict[str, list[Utterance]] = {}

    def teacher(self, voice: str) -> list[Utterance]:
        if voice not in self.teachers:
            self.teachers[voice] = [utterance(text, VOICES[voice].persona) for text in self.sentences]
        return self.teachers[voice]

    def verdict(
        self,
        mode: str,
        voice: str,
        waveforms: list[np.ndarray],
        temperature: float | None = None,
        **rtf: float,
    ) -> Verdict:
        """Listen, measure, keep the files if asked to."""
        teacher = [u.waveform for u in self.teacher(voice)]
        heard = [self.listener.hear(w) for w in waveforms]
        name = f"{mode}-{voice}" + (f"-{temperature}" if temperature is not None else "")
        if self.keep:
            (self.keep / name).mkdir(parents=True, exist_ok=True)
            for index, waveform in enumerate(waveforms):
                soundfile.write(self.keep / name / f"{index:02d}.wav", np.clip(waveform, -1, 1), RATE)
            lines = [f"{words(a)} | {b}" for a, b in zip(self.sentences, heard, strict=True)]
            (self.keep / name / "heard.txt").write_text("\n".join(lines) + "\n")
        lengths = np.array([len(a) / len(b) for a, b in zip(waveforms, teacher, strict=True)])
        return Verdict(
            mode,
            voice,
            temperature,
            len(waveforms),
            float(jiwer.wer([words(s) for s in self.sentences], [h or "nothing" for h in heard])),
            float(lengths.mean()),
            float(lengths.min()),
            float(lengths.max()),
            median_f0(waveforms),
            median_f0(teacher),
            **rtf,
        )

    def speak_teacher(self, voice: str) -> Verdict:
        return self.verdict("teacher", voice, [u.waveform for u in self.teacher(voice)])

    @torch.inference_mode()
    def speak_copy(self, voice: str, checkpoint: Path) -> Verdict:
        codec, vector, made = load_codec(checkpoint), self.speaker.voice(voice), []
        for item in self.teacher(voice):
            frames = self.speaker.mel(torch.from_numpy(item.waveform).unsqueeze(0))
            log_f0, voiced, mean = continuous_pitch(item.f0)
            tracks = torch.from_numpy(log_f0).unsqueeze(0), torch.from_numpy(voiced).unsqueeze(0)
            _, codes = codec.encode(frames, *tracks, frames.mean(1), torch.tensor([mean]))
            made.append(self.speaker.sound(codes[0], vector))
        return self.verdict("copy", voice, made)

    @torch.inference_mode()
    def speak_gpt(self, voice: str, temperature: float, batch: int, seed: int) -> Verdict:
        vector, made, clock = self.speaker.voice(voice), [], {"gpt": 0.0, "vocoder": 0.0}
        texts = [torch.from_numpy(u.phones.astype(np.int64)) for u in self.teacher(voice)]
        for first in range(0, len(texts), batch):
            part, begin = texts[first : first + batch], time.process_time()
            vectors = vector.expand(len(part), -1)
            codes = generate(
                self.speaker.gpt, vectors, part, temperature, self.speaker.config.top_k, seed=seed + first
            )
            clock["gpt"] += time.process_time() - begin
            begin = time.process_time()
            made += [self.speaker.sound(row, vector, seed) for row in codes]
            clock["vocoder"] += time.process_time() - begin
        seconds = sum(map(len, made)) / RATE
        rtf = {f"{stage}_rtf": spent / seconds for stage, spent in clock.items()}
        return self.verdict("gpt", voice, made, temperature, **rtf)


def table(verdicts: list[Verdict]) -> str:
    """Markdown."""
    lines = [
        "| | voice | temperature | WER | length / teacher: mean (min-max) | F0 (teacher), Hz | RTF GPT | RTF vocoder |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for v in verdicts:
        heat = "" if v.temperature is None else f"{v.temperature:g}"
        length = "" if v.mode == "teacher" else f"{v.length_mean:.2f} ({v.length_min:.2f}-{v.length_max:.2f})"
        rtf = [f"{x:.3f}" if x is not None else "" for x in (v.gpt_rtf, v.vocoder_rtf)]
        cells = [v.mode, v.voice, heat, f"{v.wer:.1%}", length, f"{v.f0:.0f} ({v.f0_teacher:.0f})", *rtf]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--modes", nargs="+", default=["teacher", "copy", "gpt"], choices=["teacher", "copy", "gpt"]
    )
    parser.add_argument("--voices", nargs="+", default=list(VOICES), choices=list(VOICES))
    parser.add_argument("--temperatures", nargs="+", type=float, default=[0.0, Speaker().config.temperature])
    parser.add_argument("--count", type=int, default=40, help="sentences")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--codec", type=Path, default=Path("training/runs/codec.pt"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for the waveforms and what was heard")
    args = parser.parse_args()

    torch.set_num_threads(1)
    judge, verdicts = Judge(args.count, args.keep), []
    for mode in args.modes:
        for heat in args.temperatures if mode == "gpt" else [None]:
            for voice in args.voices:
                if mode == "teacher":
                    verdicts.append(judge.speak_teacher(voice))
                elif mode == "copy":
                    verdicts.append(judge.speak_copy(voice, args.codec))
                else:
                    verdicts.append(judge.speak_gpt(voice, heat or 0.0, args.batch, args.seed))
                print(table(verdicts[-1:]).splitlines()[-1], flush=True)
                if args.json:
                    args.json.parent.mkdir(parents=True, exist_ok=True)
                    args.json.write_text(json.dumps([asdict(v) for v in verdicts], indent=2) + "\n")
    print(table(verdicts))


if __name__ == "__main__":
    main()
