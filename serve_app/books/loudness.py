"""Measures the loudness of a book, and finds the one gain that brings it to a target."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import av.filter
import numpy as np
from av.error import BlockingIOError as NotYet
from av.error import EOFError as Ended

from serve_app.books.limiter import Limiter

TARGET = -18.0  # LUFS, as the makers of audiobooks recommend
CEILING = -1.5  # dBTP: leaves room for what lossy codecs add to a peak
REDUCTION = 6.0  # dB: more would be audible
MARGIN = 0.2  # dB: what the limiter's true peak may differ by from a meter's
ROUNDING = (
    0.0005  # of a peak, which the filter gives as a factor with three decimals; the true one is no higher
)
FLOOR = -70.0  # LUFS: the absolute gate of ITU-R BS.1770; nothing below it is measured


@dataclass(frozen=True, slots=True)
class Loudness:
    """integrated: in LUFS, of one channel, by ITU-R BS.1770; true_peak: in dBTP. Both are -inf for silence."""

    integrated: float
    true_peak: float


@dataclass(frozen=True, slots=True)
class Gain:
    """decibels: what the whole book is raised by; limited: whether peaks would then exceed the ceiling in dBTP.

    held_back: the part of the gain that the peaks do not allow, in decibels.
    """

    decibels: float
    limited: bool = False
    held_back: float = 0.0
    ceiling: float = CEILING

    def apply(self, blocks: Iterable[np.ndarray], rate: int) -> Iterator[np.ndarray]:
        """blocks: float32 (N,) at `rate` Hz. Yields as many samples."""
        factor = np.float32(10 ** (self.decibels / 20))
        raised = (block * factor for block in blocks)
        if self.limited:
            return Limiter(rate, 10 ** ((self.ceiling - MARGIN) / 20)).process(raised)
        return raised


def measure(blocks: Iterable[np.ndarray], rate: int) -> Loudness:
    """blocks: float32 (N,) at `rate` Hz, in one pass with flat memory. FFmpeg's ebur128 does the work."""
    meter = _Meter(rate)
    for block in blocks:
        meter.add(block)
    return meter.finish()


def gain_for(loudness: Loudness, target: float = TARGET, ceiling: float = CEILING) -> Gain:
    """The gain from `loudness` to `target` LUFS with no true peak over `ceiling` dBTP. Of silence: none.

    Speech has rare peaks 20 dB above its loudness. They are limited, by at most REDUCTION, so that they do not
    determine the loudness of the book.
    """
    if not math.isfinite(loudness.integrated) or not math.isfinite(loudness.true_peak):
        return Gain(0.0)
    wanted, most = target - loudness.integrated, ceiling - loudness.true_peak
    decibels = min(wanted, most + REDUCTION)
    return Gain(decibels, decibels > most, wanted - decibels, ceiling)


class _Meter:
    def __init__(self, rate: int) -> None:
        self._rate, self._position = rate, 0
        self._integrated = self._peak = -math.inf
        graph = self._graph = av.filter.Graph()
        source = graph.add_abuffer(sample_rate=rate, format="flt", layout="mono", time_base=Fraction(1, rate))
        meter = graph.add("ebur128", "peak=true:metadata=1")
        graph.link_nodes(source, meter, graph.add("abuffersink")).configure()

    def add(self, samples: np.ndarray) -> None:
        if not len(samples):
            return
        values = np.ascontiguousarray(samples, np.float32)
        frame = av.AudioFrame.from_ndarray(values[None], "flt", "mono")  # (1, N)
        frame.sample_rate = self._rate
        frame.pts = self._position
        self._position += len(samples)
        self._graph.push(frame)
        self._collect()

    def finish(self) -> Loudness:
        self.add(
            np.zeros(-self._position % (self._rate // 10), np.float32)
        )  # it measures whole tenths of a second
        self._graph.push(None)
        self._collect()
        return Loudness(self._integrated, self._peak)

    def _collect(self) -> None:
        while True:
            try:
                found = self._graph.pull().metadata
            except (NotYet, Ended):
                return
            if "lavfi.r128.I" not in found:
                continue  # the rest of a tenth
            integrated = float(found["lavfi.r128.I"])
            self._integrated = integrated if integrated > FLOOR else -math.inf
            if (peak := float(found["lavfi.r128.true_peaks_ch0"])) > 0:
                self._peak = max(self._peak, 20 * math.log10(peak + ROUNDING))
