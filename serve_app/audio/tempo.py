"""Changes the speed of streamed speech at unchanged pitch, with libavfilter's `atempo` (overlap-add by similarity)."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import av.filter
import numpy as np

_SLOWEST = 0.5  # the least factor of one filter; a lower factor takes two
_FRAME = 1024  # samples; the filter returns frames of the size it is given, and fails on very short ones
_AFTER_S = 0.25  # of silence appended to flush the filter's overlapping windows


class Tempo:
    """Changes the tempo of mono float32 sound at `rate` Hz by `speed` (0.25 to 4; 2 is twice as fast)."""

    def __init__(self, rate: int, speed: float) -> None:
        self._rate, self._speed = rate, speed
        self._held = np.zeros(0, np.float32)  # input, less than a frame
        self._pushed = 0  # samples in whole frames
        self._made = 0  # samples returned
        self._graph = graph = av.filter.Graph()
        source = graph.add_abuffer(format="flt", sample_rate=rate, layout="mono", time_base=Fraction(1, rate))
        steps = [speed] if speed >= _SLOWEST else [_SLOWEST, speed / _SLOWEST]
        chain = [source, *(graph.add("atempo", str(step)) for step in steps), graph.add("abuffersink")]
        for before, after in pairwise(chain):
            before.link_to(after)
        graph.configure()

    def process(self, samples: np.ndarray) -> np.ndarray:
        """float32 (N,) -> the samples that are ready, float32 (M,). M is about N / speed, minus what is still held."""
        samples = np.concatenate([self._held, samples]).astype(np.float32)
        whole = len(samples) // _FRAME * _FRAME
        self._held = samples[whole:]
        ready = [self._push(samples[start : start + _FRAME]) for start in range(0, whole, _FRAME)]
        made = np.concatenate([np.zeros(0, np.float32), *ready])
        self._made += len(made)
        return made

    def finish(self) -> np.ndarray:
        """Returns the rest. N samples make N / speed in total, and at least one. Nothing may follow."""
        given = self._pushed + len(self._held)
        wanted = max(round(given / self._speed), min(given, 1))
        after = -len(self._held) % _FRAME + _FRAME * round(_AFTER_S * self._rate / _FRAME)
        rest = self.process(np.zeros(after, np.float32))
        self._graph.push(None)
        return np.concatenate([rest, self._ready()])[: max(0, wanted - self._made + len(rest))]

    def _push(self, samples: np.ndarray) -> np.ndarray:
        frame = av.AudioFrame.from_ndarray(samples[None], "flt", "mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._pushed, Fraction(1, self._rate)
        self._pushed += len(samples)
        self._graph.push(frame)
        return self._ready()

    def _ready(self) -> np.ndarray:
        pieces: list[np.ndarray] = []
        try:
            while True:
                frame = self._graph.pull()
                assert isinstance(frame, av.AudioFrame)
                pieces.append(frame.to_ndarray().reshape(-1))
        except (av.BlockingIOError, av.EOFError):
            return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
