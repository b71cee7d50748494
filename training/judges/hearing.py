"""Three judges: a recogniser, a rater of naturalness and a speaker verifier. Their input is (N,) float32 at 16 kHz."""

from __future__ import annotations

import re
import warnings
from functools import cached_property
from pathlib import Path

import numpy as np

from deployments.contract.errors import InvalidInput
from deployments.families.small.frontend import SmallFrontend
from training.judges.fetch import cache

_CONTEXT = "说"  # put before digits, so that they are read in Mandarin
_READ = re.compile(r"[A-Za-z0-9\u4e00-\u9fff]")
PROMPT = "以下是普通话的句子。"  # asks for simplified characters


class Recogniser:
    """whisper-base, with a beam of five."""

    def __init__(self, folder: Path | None = None) -> None:
        from faster_whisper import WhisperModel  # pyright: ignore[reportMissingImports]

        model = (folder or cache()) / "whisper-base"
        self._model = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=1)

    @cached_property
    def _simplified(self):
        import opencc

        return opencc.OpenCC("t2s")

    def hear(self, waveform: np.ndarray, language: str) -> str:
        """language: en, or zh, whose characters are simplified."""
        prompt = PROMPT if language == "zh" else None
        parts, _ = self._model.transcribe(waveform, language=language, beam_size=5, initial_prompt=prompt)
        heard = "".join(part.text for part in parts).strip()
        return self._simplified.convert(heard) if language == "zh" else heard


class Rater:
    """DistillMOS: predicted human ratings of naturalness, 1 to 5."""

    def __init__(self) -> None:
        from distillmos import ConvTransformerSQAModel  # pyright: ignore[reportMissingImports]

        self._model = ConvTransformerSQAModel().eval()

    def rate(self, waveform: np.ndarray) -> float:
        import torch

        with torch.inference_mode():
            return float(self._model(torch.from_numpy(waveform).unsqueeze(0)))


class Verifier:
    """Resemblyzer: GE2E embeddings of the speaker."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from resemblyzer import VoiceEncoder, preprocess_wav  # pyright: ignore[reportMissingImports]

        self._encoder, self._prepare = VoiceEncoder("cpu", verbose=False), preprocess_wav

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """(256,) of length 1. The cosine of two embeddings measures their likeness."""
        return self._encoder.embed_utterance(self._prepare(waveform, source_sr=16000))


def units(text: str, language: str) -> list[str]:
    """The units of errors: spoken words in English; characters and English words in Mandarin.

    Digits are spelled out first, because a recogniser may write "417".
    """
    if not _READ.search(text):
        return []
    text, frontend = _CONTEXT * (language == "zh") + text, SmallFrontend()
    try:
        said = frontend.spoken(text)
    except InvalidInput:  # a script that the frontend does not read
        read = "".join(char if _READ.match(char) or char in ".,?!'，。？！" else " " for char in text)
        said = frontend.spoken(read)
    said = re.sub(r"\bhundred and\b", "hundred", said).replace("两", "二")
    if language == "en":
        return re.sub(r"[^a-z' ]", " ", said).split()
    return re.findall(r"[\u4e00-\u9fff]|[a-z']+", said)[len(_CONTEXT) :]


def syllables(text: str) -> list[str]:
    """The toned syllables of Mandarin, so that a homophone is not an error. English words stay words."""
    from pypinyin import Style, lazy_pinyin

    joined = "".join(unit if len(unit) == 1 else f" {unit} " for unit in units(text, "zh"))
    return " ".join(lazy_pinyin(joined, style=Style.TONE3, neutral_tone_with_five=True)).split()
