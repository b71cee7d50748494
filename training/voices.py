"""The shipped voices, and the sentences that judge them, which are unseen in training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.personas import Persona

SENTENCES = {"en": Path("tests/data/sentences.txt"), "zh": Path("tests/data/sentences_zh.txt")}
PHONES_ZH = Path(
    "tests/data/sentences_zh_phones.txt"
)  # of the Mandarin sentences, checked by hand, without pauses


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
    "lily": Voice(Persona("clb", warp=0.92, pitch=0.85), "female", "dark, gentle American woman"),
    "emma": Voice(Persona("hslt", warp=0.9, pitch=0.85), "female", "deep American woman"),
    "ross": Voice(Persona("rms"), "male", "calm American man"),
    "ben": Voice(Persona("bdl"), "male", "bright American man"),
    "angus": Voice(Persona("alan"), "male", "Scottish man"),
    "kai": Voice(Persona("bdl", warp=0.88, pitch=0.76), "male", "deep American man"),
    "mei": Voice(Persona("Annie", "zh"), "female", "清亮的女声"),
    "lan": Voice(Persona("f2", "zh"), "female", "平和的女声"),
    "xue": Voice(Persona("f3", "zh", warp=1.05, pitch=1.25), "female", "年轻的女声"),
    "wei": Voice(Persona("m3", "zh"), "male", "沉稳的男声"),
    "jun": Voice(Persona("Michael", "zh"), "male", "低沉的男声"),
    "tao": Voice(Persona("m7", "zh", warp=1.1, pitch=1.4), "male", "明快的男声"),
}
