"""Decides which part of a recording is used: the channel that carries the voice, and the start of its first sound.

Blocks are measured as they are decoded, in frames of 100 ms, so that no recording is held as a whole. Levels are
variances, so a constant offset does not count as sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FRAMES_PER_SECOND = 10
MOST_SILENCE_S = 240.0  # how far beyond the used length the end of a silent beginning is searched for
LEAD_S = 0.5  # the silence that is kept before the first sound
# Power of the mean of all channels, relative to the loudest one. Equal channels have 1, two independent ones 0.5, a
# voice in one of two 0.25, opposite ones 0.
CANCELLED = 0.35
THUMP = 3  # frames; a shorter loud sound is a click or a thump, not speech
SOUND_DB, ABOVE_NOISE_DB, BELOW_LOUDEST_DB = -30.0, 10.0, -10.0  # of a frame with sound, see `_first_sound`
SURELY_SOUND_DB = -45.0  # relative to full scale; a quieter beginning may be a silent room
STEADY_DB = 20.0  # least difference between loud and quiet frames; less is noise, speech has pauses
_FLOOR = 1e-12


@dataclass(frozen=True, slots=True)
class Plan:
    """channel: the one to use; None is the mean of all. start: in seconds."""

    channel: int | None = None
    start: float = 0.0


class Survey:
    """Measures a recording of which `seconds` are used."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._rest: np.ndarray | None = None  # less than a frame
        self._frame = 0  # samples
        self._levels: list[
            np.ndarray
        ] = []  # (frames, channels + 1); the last column is the mean of the channels
        self._frames = 0
        self._longer = False

    def add(self, block: np.ndarray, rate: int) -> bool:
        """block: float32 (n, channels) at `rate` Hz. Returns False once the plan is certain."""
        self._frame = max(1, rate // FRAMES_PER_SECOND)
        held = block if self._rest is None else np.concatenate([self._rest, block])
        whole = len(held) // self._frame
        self._rest = held[whole * self._frame :]
        if whole:
            frames = held[: whole * self._frame].reshape(whole, self._frame, -1).astype(np.float64)
            mixed = frames.mean(axis=2, keepdims=True)
            levels = np.concatenate([frames.var(axis=1), mixed.var(axis=1)], axis=1)
            self._levels.append(
                np.where(np.isfinite(levels), levels, 0.0)
            )  # the part that is not finite may not be used
            self._frames += whole
        seconds = self._frames / FRAMES_PER_SECOND
        if seconds <= self._seconds:
            return True
        self._longer = True
        return seconds < self._seconds + MOST_SILENCE_S and self._may_be_silent()

    def plan(self) -> Plan:
        """The plan. The silent beginning is only skipped if the recording is longer than the used part."""
        if not self._frames:
            return Plan()
        levels = np.concatenate(self._levels)
        column = _column(levels)
        last = levels.shape[1] - 1
        start = _first_sound(levels[:, column]) / FRAMES_PER_SECOND - LEAD_S if self._longer else 0.0
        return Plan(None if column == last else column, max(0.0, start))

    def _may_be_silent(self) -> bool:
        levels = np.concatenate(self._levels)
        self._levels = [levels]
        decibels = _decibels(levels[:, _column(levels)])
        quiet, loud = np.percentile(decibels, [5, 95])
        return _loudest(decibels) < SURELY_SOUND_DB or loud - quiet < STEADY_DB


def _column(levels: np.ndarray) -> int:
    """Levels (frames, channels + 1) -> the index of the channel to use, or the last index for the mean of all.

    If the mean loses what a channel contains, the loudest channel is used unchanged. Channels that cancel are not
    inverted and summed: they need not be opposite at every frequency, and a single channel is never a comb filter.
    """
    *channels, mixed = levels.sum(axis=0)
    loudest = int(np.argmax(channels))
    return len(channels) if mixed > CANCELLED * channels[loudest] else loudest


def _first_sound(levels: np.ndarray) -> int:
    """Levels (frames,) -> the first frame of sound: the first second that contains more than a click."""
    decibels = _decibels(levels)
    loudest, noise = _loudest(decibels), float(np.percentile(decibels, 10))
    least = min(max(loudest + SOUND_DB, noise + ABOVE_NOISE_DB), loudest + BELOW_LOUDEST_DB)
    sounds = decibels >= least
    behind = np.convolve(sounds, np.ones(FRAMES_PER_SECOND, int))[
        FRAMES_PER_SECOND - 1 :
    ]  # in the second from here
    found = np.flatnonzero(sounds & (behind >= THUMP))
    return int(found[0]) if len(found) else 0


def _loudest(decibels: np.ndarray) -> float:
    """The level of the loudest sound that is longer than a click."""
    return float(np.sort(decibels)[-min(THUMP, len(decibels))])


def _decibels(levels: np.ndarray) -> np.ndarray:
    return 10 * np.log10(levels + _FLOOR)
