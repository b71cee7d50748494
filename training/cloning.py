"""Judge voice cloning: python -m training.cloning --trials 40 --json training/runs/cloning.json

In every trial, a speaker unseen in training provides a sentence or two, and the small family speaks a test sentence in
that voice. The trial checks whether the clone is closer to the speaker than to any shipped voice
(training/verifier.py), whether it has the speaker's pitch, and whether it is as intelligible as the shipped voices with
the same sentences.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from benchmarks._common import Listener as Sphinx
from training import measures
from training.data import utterance
from training.personas import Persona, strangers
from training.shipped import Shipped, add_weights, reference
from training.teachers.classic import STRANGERS
from training.utterances import RATE
from training.verifier import load_verifier
from training.voices import SENTENCES, VOICES

REFERENCE = (
    "The quick brown fox jumps over the lazy dog.",
    "A cold wind blew across the open field tonight.",
    "Please hand me the blue notebook from the upper shelf.",
)
SHORTEST = 3.0  # seconds of a reference
F0_WITHIN = 0.08


@dataclass
class Trial:
    """own, shipped: cosine to the reference, and to that of the nearest shipped voice. f0: median in Hz."""

    stranger: str
    seconds: float
    own: float
    shipped: float
    nearest: str
    f0: float
    f0_reference: float

    @property
    def his(self) -> bool:
        return self.own > self.shipped

    @property
    def as_high(self) -> bool:
        return abs(self.f0 / self.f0_reference - 1) <= F0_WITHIN


def cast(trials: int, seed: int) -> list[Persona]:
    """All unseen speakers unchanged, then variations of them."""
    plain = [Persona(name) for name in STRANGERS]
    moved = [persona for persona in strangers() if persona.name not in {one.name for one in plain}]
    random.Random(seed).shuffle(moved)
    return [*plain, *moved][:trials]


def reference_of(persona: Persona) -> np.ndarray:
    said = np.zeros(0, np.float32)
    for sentence in REFERENCE:
        if len(said) < SHORTEST * RATE:
            said = np.concatenate([said, utterance(sentence, persona).waveform])
    return said


class Cloning:
    def __init__(self, runs: Path, weights: Path) -> None:
        self.shipped, self.verifier = Shipped(weights), load_verifier(runs / "verifier.pt")
        self.voices = [name for name, voice in VOICES.items() if voice.language == "en"]
        self.known = {name: self.embedding(reference(name)) for name in VOICES}

    @torch.inference_mode()
    def embedding(self, waveform: np.ndarray) -> np.ndarray:
        return self.verifier(torch.from_numpy(waveform).unsqueeze(0))[0].numpy()

    def trial(self, persona: Persona, text: str, temperature: float, seed: int) -> tuple[Trial, np.ndarray]:
        reference = reference_of(persona)
        made = self.shipped.say([text], self.shipped.vector(reference), temperature, seed)[0]
        mine = self.embedding(made)
        scores = {name: float(mine @ one) for name, one in self.known.items()}
        nearest = max(scores, key=lambda name: scores[name])
        f0, f0_reference = (measures.median_f0([w]) for w in (made, reference))
        own = float(mine @ self.embedding(reference))
        seconds = len(reference) / RATE
        return Trial(persona.name, seconds, own, scores[nearest], nearest, f0, f0_reference), made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for the speech")
    add_weights(parser)
    args = parser.parse_args()

    torch.set_num_threads(1)
    cloning, trials = Cloning(args.runs, args.weights), []
    texts = SENTENCES["en"].read_text("utf-8").splitlines()
    heat = cloning.shipped.config.temperature
    clones, shipped = Sphinx(), Sphinx()
    for index, persona in enumerate(cast(args.trials, args.seed)):
        text = texts[index % len(texts)]
        trial, made = cloning.trial(persona, text, heat, args.seed + index)
        trials.append(trial)
        clones.hear(text, made, RATE)
        voice = cloning.voices[index % len(cloning.voices)]
        vector = cloning.shipped.vector(reference(voice))
        shipped.hear(text, cloning.shipped.say([text], vector, heat, args.seed + index)[0], RATE)
        print(
            f"{trial.stranger:22} {trial.seconds:4.1f} s  own {trial.own:.2f}  {trial.nearest} {trial.shipped:.2f}  "
            f"F0 {trial.f0:.0f} of {trial.f0_reference:.0f} Hz",
            flush=True,
        )
        if args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
            soundfile.write(args.keep / f"{index:02d}-{persona.name}.wav", np.clip(made, -1, 1), RATE)
    result = {
        "trials": len(trials),
        "more like him than like any shipped voice": sum(t.his for t in trials) / len(trials),
        "F0 within 8 %": sum(t.as_high for t in trials) / len(trials),
        "median F0 error": float(np.median([abs(t.f0 / t.f0_reference - 1) for t in trials])),
        "WER of the clones": clones.wer(),
        "WER of shipped voices, the same sentences": shipped.wer(),
    }
    print(json.dumps(result, indent=2))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result | {"each": [asdict(t) for t in trials]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
