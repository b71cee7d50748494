"""Finds the times of phones in a recording, with the phone head of a trained codec."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.codec_net import Codec
from training.corpus import continuous_pitch
from training.next_voice import NEXT, PHONES
from training.pitch import measured_f0

SIGNS = np.array([i for i, symbol in enumerate(PHONES.symbols) if symbol in {*PHONES.pauses, ".", "?", "!"}])
SKIPPED = 1e-3  # seconds of a pause without silence, so that no code's middle falls into it


def aligned(codec: Codec, waveform: np.ndarray, phones: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """waveform (N,), phones (P,) -> F0 (F,) in Hz, the ends of the phones (P,) in seconds, and the mean log
    probability of the phones, which is low if they were not said."""
    f0 = measured_f0(waveform, NEXT.sample_rate)
    where, score = path(heard(codec, waveform, f0), phones)
    return f0, ends_of(where, len(phones), 1 / NEXT.codes_per_second), score


@torch.no_grad()
def heard(codec: Codec, waveform: np.ndarray, f0: np.ndarray) -> np.ndarray:
    """Log probabilities (T, phones) of the phone at each code. All signs have that of any sign."""
    log_f0, voiced, mean = continuous_pitch(f0)
    mel = codec.log_mel(torch.from_numpy(waveform).unsqueeze(0))

    def row(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).unsqueeze(0)

    latents, _ = codec.encode(mel, row(log_f0), row(voiced), mel.mean(1), torch.tensor([mean]))
    sure = codec.phones(latents)[0].log_softmax(-1)
    sure[:, SIGNS] = sure[:, SIGNS].logsumexp(-1, keepdim=True)
    return sure.numpy()


def path(sure: np.ndarray, phones: np.ndarray) -> tuple[np.ndarray, float]:
    """The most likely path through `phones` (P,): each takes one or more steps, inner pauses zero or more.

    sure: log probabilities (T, phones) -> the index of the phone at each step (T,), and their mean log probability,
    which is minus infinity if there are more phones than steps.
    """
    steps, count = len(sure), len(phones)
    sounds = sure[:, phones]  # (T, P)
    skippable = np.isin(phones, SIGNS)
    skippable[[0, -1]] = False
    best = np.full(count, -np.inf)
    best[0] = sounds[0, 0]
    came = np.zeros((steps, count), np.int8)  # phones advanced: 0, 1 or 2
    for t in range(1, steps):
        ways = np.full((3, count), -np.inf)
        ways[0] = best
        ways[1, 1:] = best[:-1]
        ways[2, 2:] = np.where(skippable[1:-1], best[:-2], -np.inf)
        came[t] = ways.argmax(0)
        best = ways.max(0) + sounds[t]
    where = np.empty(steps, np.int64)
    at = count - 1
    for t in range(steps - 1, -1, -1):
        where[t] = at
        at -= came[t, at]
    return where, float(best[-1] / steps)


def ends_of(where: np.ndarray, count: int, step_s: float) -> np.ndarray:
    """The end times of the phones in seconds (P,)."""
    ends = np.zeros(count)
    for index in range(count):
        own = np.flatnonzero(where == index)
        ends[index] = (own[-1] + 1) * step_s if len(own) else (ends[index - 1] + SKIPPED if index else 0.0)
    return ends
