"""What the routes of one ingress process share."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from deployments import assembly, families, private_files
from deployments import prompts as prompt_files
from serve_app.audio import sandbox
from serve_app.audio.decode import decode_recording
from serve_app.audio.recording import Recording
from serve_app.config.settings import Settings
from serve_app.synthesis.backend import Backend
from serve_app.synthesis.stream import Synthesizer
from serve_app.voices.library import VoiceLibrary
from serve_app.voices.prompts import VoicePrompts

T = TypeVar("T")
log = logging.getLogger("chorale.voices")

FOLDERS = ("voices", "prompts")  # of the data folder
REQUESTS = "request"  # in the place of a voice's id, for recordings that came with requests
SHIPPED_VOICES = (
    Path(families.__file__).parent / "small" / "voices"
)  # recordings: every family can clone them
MODEL_ALIASES = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")  # so that OpenAI clients work unchanged

PATIENCE = 3.0  # seconds that the stages have to tell how they are
NOTHING_KNOWN: dict[str, Any] = {"ready": False, "device": None, "stages": {}}
GLANCE = 0.02  # seconds: what a stage with nothing to do needs


@dataclass(slots=True)
class Context:
    """One per ingress process; reached through `request.app.state.context`."""

    settings: Settings
    backend: Backend
    synthesizer: Synthesizer
    voices: VoiceLibrary
    prompts: VoicePrompts
    started: float = field(default_factory=time.time)
    requests: int = 0  # speech requests so far
    listening: int = 0  # of them now
    finishing: set[asyncio.Task[Any]] = field(default_factory=set)
    _known: dict[str, Any] = field(default_factory=lambda: dict(NOTHING_KNOWN), init=False)
    _asking: asyncio.Task[dict[str, Any]] | None = field(default=None, init=False)

    async def status(self) -> dict[str, Any]:
        """What the stages say of themselves, in PATIENCE seconds at most. Never raises."""
        try:
            self._known = await asyncio.wait_for(self.backend.status(), PATIENCE)
        except Exception:  # whatever a stage's trouble is, this process is alive and says so
            self._known = dict(NOTHING_KNOWN)
        return self._known

    async def last_status(self) -> dict[str, Any]:
        """What the stages last said. They are asked meanwhile, and not waited for."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self.status())
            await asyncio.wait([self._asking], timeout=GLANCE)
        return self._known

    @classmethod
    def create(cls, settings: Settings, backend: Backend, shipped: Path | None = None) -> Context:
        """shipped: a folder of voices that come with the service.

        Raises ConfigError where the chunks of the settings do not fit the family.
        """
        spec = backend.spec
        voices = VoiceLibrary(
            shipped or SHIPPED_VOICES,
            settings.data / "voices",
            capacity=settings.limits.max_voices,
        )
        requests = REQUESTS if settings.voice_encoder.keep_request_references else None
        cache = VoicePrompts(backend.encode_voice, settings.ingress.voice_cache, requests)
        window = spec.window or settings.ingress.window
        synthesizer = Synthesizer(backend, window=window, chunks=assembly.schedule(settings.model, spec))
        context = cls(settings, backend, synthesizer, voices, cache)
        context._tidy()
        return context

    async def read_stranger(self, audio: bytes, param: str) -> Recording:
        """A recording from outside, with warnings. Raises InvalidInput (param `param`), Overloaded, Unavailable."""
        spec = self.backend.spec
        return await sandbox.shared().read(
            audio, min_seconds=spec.min_reference_seconds, max_seconds=spec.max_reference_seconds, param=param
        )

    async def read_own(self, audio: bytes, param: str) -> Recording:
        """One from the voice library: the samples that were kept. Raises InvalidInput (param `param`)."""
        longest = self.backend.spec.max_reference_seconds
        return await asyncio.to_thread(
            decode_recording, audio, min_seconds=0.0, max_seconds=longest, param=param
        )

    async def forget(self, voice: str) -> None:
        """Drops the prompts of a voice, by its id: here, on disk, and in every other process (see `Backend.forget`)."""
        self.prompts.forget(voice)
        await asyncio.to_thread(prompt_files.forget, self.settings.data / "prompts", voice)
        await self.backend.forget(voice)

    async def to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which goes on where this call is cancelled, as when a client leaves."""
        # a context of its own: Serve cancels what a request has asked the stages for when the request is cancelled
        task = asyncio.create_task(work, context=contextvars.Context())
        self.finishing.add(task)
        task.add_done_callback(self.finishing.discard)
        return await asyncio.shield(task)

    def _tidy(self) -> None:
        """At the start: closes the data to other users, and removes what processes that died have left."""
        data = self.settings.data
        with contextlib.suppress(OSError):  # not made yet
            if others := set(os.listdir(data)) - set(FOLDERS):
                log.warning("%s keeps its mode: %s is in it, too", data, ", ".join(sorted(others)[:3]))
            else:
                private_files.tighten(data, below=False)
        for folder in FOLDERS:
            private_files.tighten(data / folder)
        self.voices.sweep()
        with contextlib.suppress(OSError):  # the voices cannot be listed, which the library logs
            kept = {REQUESTS} if self.settings.voice_encoder.keep_request_references else set()
            prompt_files.sweep(data / "prompts", self.voices.ids() | kept)
