"""Measure the controls: python -m training.control --json training/runs/control.json

`speed`: the length and the word error rate of sentences at half to twice the pace, by the GPT's own durations, compared
with the voice's teacher at that pace. `temperature`: the spread of eight seeds. Questions: the pitch of the last
syllable, compared with the same words as a statement. Commas: the longest silence with and without a comma.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks._common import Listener as Sphinx
from training.data import utterance
from training.pitch import measured_f0
from training.shipped import Shipped, add_weights, reference
from training.utterances import HOP, RATE
from training.voices import SENTENCES, VOICES

SPEEDS = (0.5, 0.75, 1.0, 1.5, 2.0)
TEMPERATURES = (0.0, 0.3, 0.6, 0.9)
SEEDS = 8
END_S = 0.3  # the end of a sentence, up to its last voiced frame
QUIET_DB = -35.0

PAIRS = (  # a statement, and the same words as a question
    ("You have seen the new house.", "You have seen the new house?"),
    ("They are coming back tomorrow.", "They are coming back tomorrow?"),
    ("He wants a cup of tea.", "He wants a cup of tea?"),
    ("The door was open all night.", "The door was open all night?"),
    ("She is going home now.", "She is going home now?"),
    ("We can leave it here.", "We can leave it here?"),
)
COMMAS = (
    ("When it rains we stay at home.", "When it rains, we stay at home."),
    ("If you like I will wait for you.", "If you like, I will wait for you."),
    ("In the morning he went to the station.", "In the morning, he went to the station."),
    ("After the show they walked to the river.", "After the show, they walked to the river."),
)


def ending(waveform: np.ndarray) -> float:
    """Semitones from the median F0 to that of the last END_S before the last voiced frame."""
    f0 = measured_f0(waveform)
    voiced = np.flatnonzero(f0 > 0)
    last = voiced[voiced > voiced[-1] - END_S * RATE / HOP]
    return float(12 * np.log2(np.median(f0[last]) / np.median(f0[voiced])))


def longest_pause(waveform: np.ndarray) -> float:
    """The longest silence inside the sound in seconds."""
    frames = waveform[: len(waveform) // HOP * HOP].reshape(-1, HOP)
    level = np.sqrt((frames**2).mean(1))
    loud = np.flatnonzero(level > level.max() * 10 ** (QUIET_DB / 20))
    return float((np.diff(loud) - 1).max(initial=0) * HOP / RATE)


def errors(texts: list[str], spoken: list[np.ndarray]) -> float:
    listener = Sphinx()
    for text, waveform in zip(texts, spoken, strict=True):
        listener.hear(text, waveform, RATE)
    return listener.wer()


def speeds(shipped: Shipped, voice: str, texts: list[str], heat: float) -> list[dict]:
    usual, rows = None, []
    vector, teacher = shipped.vector(reference(voice)), VOICES[voice].persona
    for speed in sorted(SPEEDS, key=lambda speed: abs(speed - 1)):
        made = shipped.say(texts, vector, heat, pace=speed)
        taught = [utterance(text, teacher, speed).waveform for text in texts]
        seconds = sum(map(len, made)) / RATE
        usual = usual or seconds
        row = {"speed": speed, "times as fast": usual / seconds, "wer": errors(texts, made)}
        rows.append(row | {"wer of the teacher": errors(texts, taught)})
    return sorted(rows, key=lambda row: row["speed"])


def temperatures(shipped: Shipped, vector: Tensor, text: str) -> list[dict]:
    rows = []
    for heat in TEMPERATURES:
        made = shipped.say([text] * SEEDS, vector, heat)
        seconds = np.array([len(waveform) for waveform in made]) / RATE
        spans = [np.log2(f0[f0 > 0]).std() * 12 for f0 in map(measured_f0, made)]
        shortest = min(map(len, made))
        apart = np.mean([np.abs(made[0][:shortest] - other[:shortest]).mean() for other in made[1:]])
        rows.append(
            {
                "temperature": heat,
                "seconds": float(seconds.mean()),
                "spread of the seconds": float(seconds.std()),
                "semitones of melody": float(np.mean(spans)),
                "waveforms apart": float(apart),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voices", nargs="+", default=["ross", "clara"])
    parser.add_argument("--count", type=int, default=20, help="sentences at each speed")
    parser.add_argument("--json", type=Path)
    add_weights(parser)
    args = parser.parse_args()

    torch.set_num_threads(1)
    shipped, result = Shipped(args.weights), {}
    heat = shipped.config.temperature
    texts = SENTENCES["en"].read_text("utf-8").splitlines()[: args.count]
    for voice in args.voices:
        vector = shipped.vector(reference(voice))
        statements, questions = (
            [ending(waveform) for waveform in shipped.say(list(side), vector, heat)]
            for side in zip(*PAIRS, strict=True)
        )
        without, with_comma = (
            [longest_pause(waveform) for waveform in shipped.say(list(side), vector, heat)]
            for side in zip(*COMMAS, strict=True)
        )
        result[voice] = {
            "speed": speeds(shipped, voice, texts, heat),
            "temperature": temperatures(shipped, vector, texts[0]),
            "ending, semitones above the median": {
                "statements": float(np.mean(statements)),
                "questions": float(np.mean(questions)),
            },
            "longest pause, seconds": {
                "without a comma": float(np.mean(without)),
                "with a comma": float(np.mean(with_comma)),
            },
        }
        print(voice, json.dumps(result[voice], indent=2), flush=True)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
