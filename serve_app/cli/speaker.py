"""Speaks in this process, without Ray, and times it: for the command line, the self-check and the benchmarks."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from deployments.contract.speech import Sampling, VoicePrompt
from serve_app.backends.local import LocalBackend
from serve_app.config.settings import Settings
from serve_app.context import Context
from serve_app.synthesis.speech import Faults, Speech
from serve_app.voices.library import Voice

R = TypeVar("R")
DEFAULT_VOICE = "alloy"  # OpenAI's first name, which always stands for one of the shipped voices


@dataclass(frozen=True, slots=True)
class Spoken:
    """waveform: float32 (N,) at `rate` Hz; first_s, total_s: from the call to the first and the last piece of sound.

    warnings: what is wrong with the recording that was given; faults: segments that were said anew, or cut off.
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
        """Of audio."""
        return len(self.waveform) / self.rate

    @property
    def rtf(self) -> float:
        """Seconds of computing for a second of audio."""
        return self.total_s / self.seconds


class Speaker:
    """The whole pipeline, loaded. Not for use within an event loop. `load_s`: how long loading took.

    slots: segments that the GPT works on at once, if more than the window of one request.
    Raises ConfigError where the settings, the weights or the device are at fault.
    """

    def __init__(self, settings: Settings | None = None, *, slots: int = 1) -> None:
        settings = settings or Settings.from_args(None)
        began = time.perf_counter()
        self.backend = LocalBackend(settings.model, least_slots=max(slots, settings.ingress.window))
        self.context = Context.create(settings, self.backend)
        self.default_seed = settings.sampling.seed
        self._runner = asyncio.Runner()
        try:
            self.backend.wait()
        except BaseException:
            self.close()
            raise
        self.load_s = time.perf_counter() - began

    def __enter__(self) -> Speaker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._runner.close()
        self.backend.close()

    def voice(self, name: str | None = None) -> Voice:
        """Raises NotFound, which lists what there is."""
        return self.context.voices.get(name or DEFAULT_VOICE)

    def prompt(self, name: str | None = None) -> VoicePrompt:
        """The voice's features, kept for the next call."""
        return self._runner.run(self.prompt_of(name))

    async def prompt_of(self, name: str | None = None) -> VoicePrompt:
        """As `prompt`, for what runs on this speaker's loop."""
        return await self._prompt(self.voice(name))

    def say(
        self,
        text: str,
        voice: str | None = None,
        *,
        reference: bytes | None = None,
        transcript: str | None = None,
        seed: int | None = None,
        speed: float = 1.0,
        language: str | None = None,
        whole: bool = False,
        **sampling: Any,
    ) -> Spoken:
        """Speaks `text`; without a seed a random one. sampling: temperature, top_k, ..., over the family's defaults.

        whole: no segment is vocoded for a listener before it is known that it need not be said anew.
        reference: an audio file's bytes, whose voice is cloned instead of a named one; transcript: what is said in it.
        Raises InvalidInput for a text or a recording that cannot be used, NotFound for an unknown voice.
        """
        chosen = self.voice(voice) if reference is None else (reference, transcript)
        seed = self.default_seed if seed is None else seed
        seed = secrets.randbelow(2**31) if seed is None else seed
        drawn = replace(self.backend.spec.sampling, **sampling, seed=seed, speed=speed)
        return self._runner.run(self._say(text, chosen, drawn, language, whole))

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """The result of a coroutine, on the loop of this speaker."""
        return self._runner.run(work)

    async def _say(
        self,
        text: str,
        voice: Voice | tuple[bytes, str | None],
        sampling: Sampling,
        language: str | None,
        whole: bool,
    ) -> Spoken:
        began = time.perf_counter()
        first_s, pieces, warnings = 0.0, [], ()
        if isinstance(voice, tuple):
            examined = await self.context.prompts.of(*voice, self.context.read_stranger, param="reference")
            name, prompt, warnings = "reference", examined.prompt, examined.warnings
        else:
            name, prompt = voice.name, await self._prompt(voice)
        stream = self.context.synthesizer.stream(Speech(text, prompt, sampling, language, whole=whole))
        async for piece in stream:
            first_s = first_s or time.perf_counter() - began
            pieces.append(piece)
        total_s = time.perf_counter() - began
        rate = self.backend.spec.sample_rate
        return Spoken(
            np.concatenate(pieces), rate, first_s, total_s, name, sampling.seed, warnings, stream.faults
        )

    async def _prompt(self, voice: Voice) -> VoicePrompt:
        context, audio = self.context, self.context.voices.read(voice)
        examined = await context.prompts.of(
            audio, voice.transcript, context.read_own, param="voice", voice=voice.id
        )
        return examined.prompt
