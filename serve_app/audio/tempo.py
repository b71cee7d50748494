"""Faster and slower speech of unchanged pitch, as it is made: libavfilter's `atempo` (overlap-add by similarity)."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import av.filter
import numpy as np

_SLOWEST = 0.5  # of one filter; below it, two in a row
_FRAME = 1024  # samples: the filter answers in frames of the size that it is given


class Tempo:
    """Changes the tempo of mono float32 sound at `rate` Hz by `speed` (0.25 to 4; 2 is twice as fast)."""

    def __init__(self, rate: int, speed: float) -> None:
        self._rate = rate
        self._time = 0
        self._graph = graph = av.filter.Graph()
        source = graph.add_abuffer(format="flt", sample_rate=rate, layout="mono", time_base=Fraction(1, rate))
        steps = [speed] if speed >= _SLOWEST else [_SLOWEST, speed / _SLOWEST]
        chain = [source, *(graph.add("atempo", str(step)) for step in steps), graph.add("abuffersink")]
        for before, after in pairwise(chain):
            before.link_to(after)
        graph.configure()

    def process(self, samples: np.ndarray) -> np.ndarray:
        """float32 (N,) -> what is ready by now, float32 (M,), M about N / speed less what the filter still holds."""
        samples = np.ascontiguousarray(samples, np.float32)
        ready = []
        for start in range(0, len(samples), _FRAME):
            part = samples[start : start + _FRAME]
            frame = av.AudioFrame.from_ndarray(part[None], "flt", "mono")
            frame.sample_rate, frame.pts, frame.time_base = self._rate, self._time, Fraction(1, self._rate)
            self._time += len(part)
            self._graph.push(frame)
            ready.append(self._ready())
        return np.concatenate(ready) if ready else samples

    def finish(self) -> np.ndarray:
        """The rest; nothing may follow."""
        self._graph.push(None)
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
