"""What was said, as pocketsphinx hears it with its default model."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import soxr
from pocketsphinx import Decoder


@cache
def _decoder() -> Decoder:
    return Decoder(loglevel="FATAL")


def words(text: str) -> str:
    """Lower case words without punctuation, as the recogniser writes them."""
    return re.sub(r"[^a-z' ]", "", text.lower()).strip()


def recognise(waveform: np.ndarray, rate: int) -> str:
    """waveform: float32 (N,) at `rate` Hz -> the words heard."""
    samples = soxr.resample(waveform, rate, 16000)
    samples = samples / max(float(np.abs(samples).max()), 1e-6) * 0.7
    padded = np.pad(samples, 3200)
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw((padded * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    heard = hypothesis.hypstr if hypothesis else ""
    return re.sub(r"\(\d+\)|<sil>|\[\w+\]", "", heard).strip()
