"""Make the shipped voices' references: python -m training.voices

Two sentences of each persona, none of them in the training text or the test sentences by design.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from training.data import utterance
from training.personas import Persona
from training.utterances import LOUDNESS, RATE

OUT = Path("deployments/families/small/voices")
SENTENCES = {
    "en": ("The quick brown fox jumps over the lazy dog.", "A cold wind blew across the open field tonight."),
    "zh": ("小河的水很清，河边有几只白鹅。", "窗外的风很大，树叶落了一地。"),
}


@dataclass(frozen=True)
class Voice:
    persona: Persona
    gender: str
    description: str

    @property
    def language(self) -> str:
        return self.persona.language


VOICES = {
    "clara": Voice(Persona("hslt"), "female", "clear American woman"),
    "nora": Voice(Persona("clb"), "female", "warm American woman"),
    "lily": Voice(Persona("lh"), "female", "lively American woman"),
    "emma": Voice(Persona("kh"), "female", "British woman"),
    "ross": Voice(Persona("rms"), "male", "calm American man"),
    "ben": Voice(Persona("bdl"), "male", "bright American man"),
    "angus": Voice(Persona("awb"), "male", "Scottish man"),
    "kai": Voice(Persona("bdl", warp=0.88, pitch=0.76), "male", "deep American man"),
    "mei": Voice(Persona("Annie", "zh"), "female", "清亮的女声"),
    "lan": Voice(Persona("f2", "zh"), "female", "平和的女声"),
    "xue": Voice(Persona("linda", "zh", pitch=1.15), "female", "年轻的女声"),
    "wei": Voice(Persona("m3", "zh"), "male", "沉稳的男声"),
    "jun": Voice(Persona("Michael", "zh"), "male", "低沉的男声"),
    "tao": Voice(Persona("m7", "zh", warp=1.1, pitch=1.4), "male", "明快的男声"),
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
