"""What is to be said, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.contract.speech import Sampling, VoicePrompt


@dataclass(frozen=True, slots=True)
class Speech:
    """What is to be said.

    priority: 0 for a listener who waits, 10 for work in the background; whole: nobody hears the beginning before the
    end is there, so that it can still be said anew.
    """

    text: str
    prompt: VoicePrompt
    sampling: Sampling
    language: str | None = None
    priority: int = 0
    whole: bool = False


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
