"""Speaks in this process, without Ray, and times it: for the command line, the self-check and the benchmarks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from deployments import assembly
from deployments.contract.speech import VoicePrompt
from serve_app.backends.local import LocalBackend
from serve_app.config.settings import Settings
from serve_app.models import Model, Models
from serve_app.service import Service, SpeechRequest
from serve_app.synthesis.speech import Faults

R = TypeVar("R")
DEFAULT_VOICE = "alloy"  # OpenAI's first name, which always maps to a shipped voice


@dataclass(frozen=True, slots=True)
class Said:
    """Speech with its timing. waveform: float32 (N,) at `rate` Hz; warnings: problems of the given recording.

    first_s, total_s: seconds from the call to the first and the last piece of sound.
    """

    waveform: np.ndarray
    rate: int
    first_s: float
    total_s: float
    voice: str
    seed: int
    warnings: tuple[str, ...] = ()
    faults: Faults = field(default_factory=Faults)

    @property
    def seconds(self) -> float:
        """Duration of the audio in seconds."""
        return len(self.waveform) / self.rate

    @property
    def rtf(self) -> float:
        """Real-time factor: seconds of computing per second of audio."""
        return self.total_s / self.seconds


class Speaker(AbstractContextManager["Speaker"]):
    """One model, loaded. Not for use within an event loop. load_s: seconds of loading; slots: of the GPT, at least.

    Raises ConfigError for invalid settings or weights, or an unusable device, NotFound for an unknown model.
    """

    def __init__(self, settings: Settings | None = None, model: str | None = None, *, slots: int = 1) -> None:
        began = time.perf_counter()
        settings = settings or Settings.from_args(None)
        options = settings.options(model)
        self.backend = LocalBackend(options, least_slots=max(slots, settings.ingress.window))
        weights = assembly.weights_digest(self.backend.family.folder)
        self.model = Model(settings.name(model), options, self.backend, settings.ingress, weights)
        self.service = Service(settings, Models([self.model]))
        self._runner = asyncio.Runner()
        try:
            self.backend.wait()
        except BaseException:
            self.close()
            raise
        self.load_s = time.perf_counter() - began

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._runner.close()
        self.backend.close()

    async def prompt_of(self, name: str | None = None) -> VoicePrompt:
        """The voice's features, cached, on this speaker's loop."""
        return (await self.service.prompt(name or DEFAULT_VOICE, self.model))[1]

    def say(self, text: str, voice: str | None = None, recording: bytes | None = None, **fields: Any) -> Said:
        """Speaks `text`. fields: others of `SpeechRequest`. Raises InvalidInput, for an unknown voice too."""
        voice = None if recording is not None else voice or DEFAULT_VOICE
        return self._runner.run(self._say(SpeechRequest(text, voice, recording, **fields)))

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """The result of a coroutine, on the loop of this speaker."""
        return self._runner.run(work)

    async def _say(self, request: SpeechRequest) -> Said:
        began = time.perf_counter()
        first_s, waveforms = 0.0, []
        spoken = await self.service.speak(request)
        async for waveform in spoken.stream.sound:
            first_s = first_s or time.perf_counter() - began
            waveforms.append(waveform)
        total_s, sound = time.perf_counter() - began, np.concatenate(waveforms)
        about = (spoken.voice, spoken.seed, spoken.warnings, spoken.stream.faults)
        return Said(sound, spoken.sample_rate, first_s, total_s, *about)
