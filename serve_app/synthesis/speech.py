"""What is to be said, and what comes of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import numpy as np

from deployments.contract.speech import Sampling, VoicePrompt


@dataclass(frozen=True, slots=True)
class Speech:
    """What is to be said.

    priority: 0 for a listener who waits, 10 for work in the background; whole: nobody hears the beginning before the
    end is there, so that it can still be said anew; id: of the request, which stages write in their logs.
    """

    text: str
    prompt: VoicePrompt
    sampling: Sampling
    language: str | None = None
    priority: int = 0
    whole: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class SegmentBegan:
    """Its sound follows. span: start and end in the request's text, None where the family's frontend cannot say."""

    index: int
    text: str
    span: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Sound:
    """waveform: float32 (N,), in -1..1, at the family's rate."""

    waveform: np.ndarray


@dataclass(frozen=True, slots=True)
class SegmentDone:
    """All of its sound has come.

    codes: how many the GPT made; retried: it was said again with another seed; cut: it ends where it went wrong.
    """

    index: int
    codes: int
    retried: bool
    cut: bool


SpeechEvent = SegmentBegan | Sound | SegmentDone


@dataclass(slots=True)
class Faults:
    """Segments whose codes could not be speech; `of_all`: where those of one request are counted, too."""

    retried: int = 0  # said anew, with another seed
    cut: int = 0  # that end where they went wrong: begun to be heard, or no better the second time
    of_all: Faults | None = None

    def retry(self) -> None:
        self.retried += 1
        if self.of_all:
            self.of_all.retry()

    def cut_off(self) -> None:
        self.cut += 1
        if self.of_all:
            self.of_all.cut_off()
