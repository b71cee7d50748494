"""A text to speak, and the events of its stream."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

import numpy as np

from deployments.contract.speech import Sampling, VoicePrompt
from serve_app.synthesis.times import SaidAt


@dataclass(frozen=True, slots=True)
class Speech:
    """A text to speak, with its voice and sampling.

    priority: 0 for interactive requests, 10 for background work; whole: the result is used only when complete, so any
    segment can still be retried; timed: the times of words are wanted; id: the request's id in the logs of the stages;
    began: when the request was made, by `time.perf_counter`.
    """

    text: str
    prompt: VoicePrompt
    sampling: Sampling
    language: str | None = None
    priority: int = 0
    whole: bool = False
    timed: bool = field(default=False, kw_only=True)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    began: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, slots=True)
class SegmentBegan:
    """A segment begins. span: its start and end in the request's text, None if the frontend does not know them."""

    index: int
    text: str
    span: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Sound:
    """A part of a segment's sound. waveform: float32 (N,), in -1..1, at the family's rate."""

    waveform: np.ndarray


@dataclass(frozen=True, slots=True)
class SegmentDone:
    """codes: the number from the GPT; retried: synthesised again with another seed; cut: cut off at a fault.

    times: of its words or characters, in the sound of the request; empty if not wanted, or if the model does not tell.
    """

    index: int
    codes: int
    retried: bool
    cut: bool
    times: tuple[SaidAt, ...] = ()


SpeechEvent = SegmentBegan | Sound | SegmentDone


@dataclass(slots=True)
class Faults:
    """Counts segments whose codes could not be speech. of_all: a total that counts them too."""

    retried: int = 0  # synthesised again with another seed
    cut: int = 0  # cut off at the fault: already partly sent, or the retry failed too
    of_all: Faults | None = None

    def add(self, *, retried: int = 0, cut: int = 0) -> None:
        self.retried += retried
        self.cut += cut
        if self.of_all:
            self.of_all.add(retried=retried, cut=cut)
