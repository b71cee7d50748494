"""Whether clones resemble their speakers: python -m training.judges.clones CLONES --strangers RECORDINGS

CLONES is a folder of `training.judges.render --by student --voices RECORDINGS`, and RECORDINGS may be made by
`training.references --strangers 40`. Resemblyzer compares each clone with the recording that it was made from and with
those of the shipped voices or of `--voices`. Needs the extra `judge`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from serve_app.voices.library import recordings
from training.judges.hearing import Verifier
from training.judges.render import SHIPPED_VOICES
from training.judges.samples import RATE, load, waveform_of
from training.pitch import measured_f0


@dataclass(frozen=True)
class Trial:
    """One clone. own, nearest: cosines to its speaker's recording and to the most similar shipped one, `voice`.

    pitch: its median F0 relative to the recording's.
    """

    speaker: str
    own: float
    nearest: float
    voice: str
    pitch: float

    @property
    def recognised(self) -> bool:
        return self.own > self.nearest


def trial(
    speaker: str, clone: np.ndarray, own: np.ndarray, shipped: dict[str, np.ndarray], pitch: float
) -> Trial:
    """clone, own, and each of shipped: embeddings (D,) of length 1."""
    alike = {name: float(clone @ other) for name, other in shipped.items()}
    voice = max(alike, key=alike.__getitem__)
    return Trial(speaker, float(clone @ own), alike[voice], voice, pitch)


def summary(trials: list[Trial]) -> str:
    recognised = [one for one in trials if one.recognised]
    off = np.abs(np.array([one.pitch for one in trials]) - 1)
    lines = [
        f"more like their speaker than like any shipped voice: {len(recognised)} of {len(trials)}",
        f"mean cosine to the speaker {np.mean([one.own for one in trials]):.3f}, "
        f"to the nearest shipped voice {np.mean([one.nearest for one in trials]):.3f}",
        f"F0 within 8 % of the speaker's: {np.sum(off <= 0.08)} of {len(trials)}; median error {np.median(off):.1%}",
    ]
    lines += [
        f"  {one.speaker}: {one.own:.3f}, {one.voice} {one.nearest:.3f}"
        for one in trials
        if not one.recognised
    ]
    return "\n".join(lines)


def median_f0(waveform: np.ndarray) -> float:
    f0 = measured_f0(waveform, RATE)
    return float(np.median(f0[f0 > 0])) if (f0 > 0).any() else np.nan


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clones", type=Path)
    parser.add_argument("--strangers", type=Path, required=True, help="the recordings that were cloned")
    parser.add_argument("--voices", type=Path, default=SHIPPED_VOICES, help="recordings to tell them from")
    args = parser.parse_args()
    torch.set_num_threads(1)
    verifier = Verifier()
    sounds = {path.stem: waveform_of(path) for path in recordings(args.strangers)}
    own = {name: verifier.embed(sound) for name, sound in sounds.items()}
    shipped = {path.stem: verifier.embed(waveform_of(path)) for path in recordings(args.voices)}
    trials = []
    for sample in load(args.clones):
        sound = sample.waveform(args.clones)
        pitch = median_f0(sound) / median_f0(sounds[sample.speaker])
        trials.append(trial(sample.speaker, verifier.embed(sound), own[sample.speaker], shipped, pitch))
    print(summary(trials))


if __name__ == "__main__":
    main()
