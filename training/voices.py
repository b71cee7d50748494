"""Make the shipped voices' references: python -m training.voices

Two sentences per teacher, none of them in the training text or the test sentences by design.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from training.data import LOUDNESS, RATE, utterance

OUT = Path("deployments/families/small/voices")
VOICES = {  # name: teacher, gender, description
    "clara": ("slt", "female", "clear American woman"),
    "ross": ("rms", "male", "calm American man"),
    "angus": ("awb", "male", "Scottish man"),
    "kai": ("kal16", "male", "American man, the classic synthesiser"),
}
SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "A cold wind blew across the open field tonight.",
)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for name, (teacher, gender, description) in VOICES.items():
        waveform = np.concatenate([utterance(sentence, teacher).waveform for sentence in SENTENCES])
        waveform *= LOUDNESS / np.sqrt(np.mean(waveform**2))
        soundfile.write(OUT / f"{name}.wav", np.clip(waveform, -1, 1), RATE)
        card = {
            "name": name,
            "language": "en",
            "gender": gender,
            "description": description,
            "transcript": " ".join(SENTENCES),
            "consent": "synthetic teacher voice",
        }
        (OUT / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")
        print(f"{name}: {len(waveform) / RATE:.2f} s")


if __name__ == "__main__":
    main()
