"""Judges responses by word error rate and speaker similarity. It never runs during a measurement."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jiwer
import numpy as np
import soundfile

from benchmarks import _common, _statistics
from benchmarks._load import PCM_RATE, Answer, Say
from deployments import families
from deployments.contract.speech import Reference
from deployments.engine.device.choose import choose_device
from serve_app.service import SHIPPED_VOICES


@dataclass(frozen=True, slots=True)
class Verdict:
    """errors in `words` words. similarity: cosine of the speaker vectors of the sound and the voice's recording."""

    errors: int
    words: int
    similarity: float


class Judge:
    """pocketsphinx and the small family's speaker encoder, on the CPU. Results are cached by sound."""

    def __init__(self) -> None:
        self._listener = _common.Listener()
        self._encoder = families.load("small").voice_encoder(choose_device("cpu"))
        self._voices: dict[str, np.ndarray] = {}
        self._known: dict[tuple[Say, str], Verdict] = {}

    def hear(self, answer: Answer) -> Verdict:
        key = (answer.say, fingerprint(answer))
        if key not in self._known:
            self._known[key] = self.judge(answer.say.text, answer.say.voice, answer.waveform, PCM_RATE)
        return self._known[key]

    def judge(self, text: str, voice: str, waveform: np.ndarray, rate: int) -> Verdict:
        """waveform: float32 (N,)"""
        heard = jiwer.process_words(_common.words(text), self._listener.hear(text, waveform, rate))
        similarity = float(self._vector(waveform, rate) @ self._sample(voice))
        errors = heard.substitutions + heard.deletions + heard.insertions
        return Verdict(errors, len(_common.words(text).split()), similarity)

    def _sample(self, voice: str) -> np.ndarray:
        if voice not in self._voices:
            self._voices[voice] = self._vector(*soundfile.read(_recording(voice), dtype="float32"))
        return self._voices[voice]

    def _vector(self, waveform: np.ndarray, rate: int) -> np.ndarray:
        vector = self._encoder.encode(Reference.of(waveform, rate)).tensors["speaker"]
        return vector / np.linalg.norm(vector)


def _recording(voice: str) -> str:
    return str(SHIPPED_VOICES / f"{voice}.flac")


def judged_voices(names: Iterable[str]) -> list[str]:
    """The voices whose recording is available: the shipped ones."""
    return [name for name in names if (SHIPPED_VOICES / f"{name}.flac").exists()]


def fingerprint(answer: Answer) -> str:
    return hashlib.sha256(answer.data).hexdigest()


def quality(verdicts: list[Verdict]) -> dict[str, Any]:
    """WER and similarity with bootstrap intervals over sentences."""
    if not verdicts:
        nothing = _statistics.NOTHING.figures()
        return {"wer": nothing, "similarity": nothing, "sentences": 0}
    errors, words = [v.errors for v in verdicts], [v.words for v in verdicts]
    return {
        "wer": _statistics.ratio(errors, words).figures(),
        "similarity": _statistics.mean([v.similarity for v in verdicts]).figures(),
        "sentences": len(verdicts),
    }


def difference(here: list[Verdict], there: list[Verdict]) -> dict[str, Any]:
    """`here` minus `there`, paired: item i of both is the same sentence. Equal: both intervals contain zero."""
    wer = _statistics.ratio_difference(
        [v.errors for v in here],
        [v.words for v in here],
        [v.errors for v in there],
        [v.words for v in there],
    )
    similarity = _statistics.mean([a.similarity - b.similarity for a, b in zip(here, there, strict=True)])
    equal = wer.holds(0.0) and similarity.holds(0.0)
    return {"wer": wer.figures(), "similarity": similarity.figures(), "equal": equal}
