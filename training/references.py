"""Make the shipped voices' references: python -m training.references

Each persona speaks two sentences, which are not in the training text or the test sentences.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from training.data import utterance
from training.utterances import LOUDNESS, RATE
from training.voices import VOICES

OUT = Path("deployments/families/small/voices")

SENTENCES = {
    "en": ("The quick brown fox jumps over the lazy dog.", "A cold wind blew across the open field tonight."),
    "zh": ("小河的水很清，河边有几只白鹅。", "窗外的风很大，树叶落了一地。"),
}


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for name, voice in VOICES.items():
        sentences = SENTENCES[voice.language]
        waveform = np.concatenate([utterance(sentence, voice.persona).waveform for sentence in sentences])
        waveform *= LOUDNESS / np.sqrt(np.mean(waveform**2))
        soundfile.write(OUT / f"{name}.wav", np.clip(waveform, -1, 1), RATE)
        card = {
            "name": name,
            "language": voice.language,
            "gender": voice.gender,
            "description": voice.description,
            "transcript": " ".join(sentences),
            "consent": "synthetic teacher voice",
        }
        (OUT / f"{name}.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
        print(f"{name}: {len(waveform) / RATE:.2f} s")


if __name__ == "__main__":
    main()
