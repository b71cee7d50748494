"""The service below HTTP: a model, voices and prompts, and one way to speak. Routes, the command line and jobs use it.

Imports neither FastAPI nor Ray.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import secrets
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from deployments import assembly, families, private_files
from deployments import prompts as prompt_files
from deployments.contract.errors import InvalidInput, NotFound
from deployments.contract.speech import Sampling, VoicePrompt
from serve_app.audio import sandbox
from serve_app.audio.decode import decode_recording
from serve_app.audio.recording import Recording
from serve_app.config.settings import Settings
from serve_app.synthesis.backend import Backend
from serve_app.synthesis.speech import Speech
from serve_app.synthesis.stream import SpeechStream, Synthesizer
from serve_app.voices import names
from serve_app.voices.library import Voice, VoiceLibrary
from serve_app.voices.prompts import VoicePrompts

T = TypeVar("T")
log = logging.getLogger("chorale.voices")

FOLDERS = ("voices", "prompts")  # of the data folder
REQUESTS = "request"  # in the place of a voice's id, for recordings that came with requests
# recordings: every family can clone them
SHIPPED_VOICES = Path(families.__file__).parent / "small" / "voices"
MODEL_ALIASES = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")  # so that OpenAI clients work unchanged

PATIENCE = 3.0  # seconds that the stages have to tell how they are
NOTHING_KNOWN: dict[str, Any] = {"ready": False, "device": None, "stages": {}}
GLANCE = 0.02  # seconds: what a stage with nothing to do needs


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """A request to speak.

    voice: an id or a name. recording: an audio file to clone the voice from instead; transcript: the text spoken in
    it. model: None for the served model. seed: None for a random one. controls: by name, those of the model's
    `FamilySpec.controls` that are set. priority, whole, id: see `Speech`.
    """

    input: str
    voice: str | None = None
    recording: bytes | None = None
    transcript: str | None = None
    model: str | None = None
    language: str | None = None
    seed: int | None = None
    speed: float = 1.0
    max_tokens: int | None = None
    controls: Mapping[str, object] = field(default_factory=dict)
    priority: int = 0
    whole: bool = False
    id: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True, slots=True)
class Spoken:
    """The stream of a request, and the choices made for it.

    voice: its name, or "reference_audio" for a recording; seed: the seed in use; warnings: problems of the recording,
    as keys of `WARNINGS`.
    """

    stream: SpeechStream
    voice: str
    seed: int
    warnings: tuple[str, ...] = ()


class Service:
    """The speech service of this process. shipped: the folder of the voices that ship with it.

    Raises ConfigError if the configured chunks do not fit the family.
    """

    def __init__(self, settings: Settings, backend: Backend, shipped: Path = SHIPPED_VOICES) -> None:
        self.settings, self.backend, self.started = settings, backend, time.time()
        self.voices = VoiceLibrary(shipped, settings.data / "voices", capacity=settings.limits.max_voices)
        requests = REQUESTS if settings.voice_encoder.keep_request_references else None
        self.prompts = VoicePrompts(backend.encode_voice, settings.ingress.voice_cache, requests)
        self.synthesizer = Synthesizer(
            backend,
            window=backend.spec.window or settings.ingress.window,
            chunks=assembly.schedule(settings.model, backend.spec),
        )
        self._finishing: set[asyncio.Task[Any]] = set()
        self._known = dict(NOTHING_KNOWN)
        self._asking: asyncio.Task[dict[str, Any]] | None = None
        self._tidy()

    # speech

    async def speak(self, request: SpeechRequest) -> Spoken:
        """Prepares a stream without starting it: errors in the text are raised when the first event is requested.

        A text may be of any length; routes bound theirs with `check_text`.
        Raises NotFound (param "model"), InvalidInput (param "input", "voice", "reference_audio" or
        a control), Overloaded.
        """
        if request.model is not None:
            self.check_model(request.model)
        sampling = self._sampling(request)
        warnings: tuple[str, ...] = ()
        if request.recording is not None:
            voice = "reference_audio"
            self._check_transcript(request.transcript, "reference_text", "the recording")
            examined = await self.prompts.of(
                request.recording, request.transcript, self.read_stranger, param=voice
            )
            prompt, warnings = examined.prompt, examined.warnings
        elif request.voice is not None:
            named, prompt = await self.prompt(request.voice)
            voice = named.name
        else:
            raise InvalidInput(
                "Missing required field 'voice' (or 'reference_audio').",
                param="voice",
                code="missing_required_parameter",
            )
        speech = Speech(
            request.input, prompt, sampling, request.language, request.priority, request.whole, request.id
        )
        return Spoken(self.synthesizer.stream(speech), voice, sampling.seed, warnings)

    def check_text(self, text: str) -> None:
        """Raises InvalidInput (param "input") for a text longer than a request over HTTP may have."""
        most = self.settings.limits.max_input_chars
        if len(text) > most:
            message = f"Invalid 'input': {len(text)} characters, at most {most} are allowed."
            raise InvalidInput(message, param="input", code="string_above_max_length")

    def check_model(self, model: str) -> None:
        known = (self.settings.model_id, *MODEL_ALIASES)
        if model not in known:
            message = f"The model in 'model' does not exist. Available: {', '.join(known)}."
            raise NotFound(message, param="model", code="model_not_found")

    def _sampling(self, request: SpeechRequest) -> Sampling:
        seed = self.settings.sampling.seed if request.seed is None else request.seed
        return self.backend.spec.sampling(
            request.controls,
            seed=secrets.randbelow(2**31) if seed is None else seed,
            speed=request.speed,
            max_tokens=request.max_tokens,
        )

    # voices

    def _check_transcript(self, transcript: str | None, param: str, what: str) -> None:
        """Raises InvalidInput (param `param`) if the model needs the text that is spoken in a recording."""
        if self.backend.spec.needs_transcript and not (transcript or "").strip():
            raise InvalidInput(
                f"Invalid '{param}': {self.settings.model_id} needs a transcript of {what}, which has none.",
                param=param,
                code="missing_transcript",
            )

    async def prompt(self, name: str) -> tuple[Voice, VoicePrompt]:
        """A voice of the library and its prompt. Raises InvalidInput (param "voice") if it does not exist."""

        def read() -> tuple[Voice, bytes]:
            voice = self.voices.get(name, "voice")
            self._check_transcript(voice.transcript, "voice", f"the voice {voice.name}")
            return voice, self.voices.read(voice)

        try:
            voice, audio = await asyncio.to_thread(read)
        except NotFound as error:  # here it is a wrong value of a field, as OpenAI sees it
            raise InvalidInput(error.message, param="voice", code=error.code) from None

        async def made() -> VoicePrompt:
            fresh = True  # as far as is known: a stage that failed may have kept a prompt before
            try:
                examined = await self.prompts.of(
                    audio,
                    voice.transcript,
                    self.read_own,
                    param="voice",
                    voice=voice.id,
                    language=voice.language,
                )
                fresh = examined.fresh
                return examined.prompt
            finally:
                if fresh and not await asyncio.to_thread(self.voices.holds, voice):
                    await self.forget(voice.id)  # the voice was deleted meanwhile

        return voice, await self.to_the_end(made())

    async def add_voice(self, name: str, audio: bytes, **about: Any) -> Voice:
        """about: language, transcript, consent, description. The prompt is made first.

        Raises InvalidInput (param "name", "audio_sample" or "transcript"), Overloaded, and ChoraleError if the disk
        refuses.
        """
        await asyncio.to_thread(self.voices.check_name, name)
        self._check_transcript(about.get("transcript"), "transcript", "the recording")
        read = await self.read_stranger(audio, "audio_sample")
        recording = await asyncio.to_thread(read.to_wav)
        return await self.to_the_end(self._add(name, recording, {**about, "warnings": read.warnings}))

    async def delete_voice(self, name: str) -> str:
        """Returns the voice's id. Raises NotFound, and InvalidInput for a voice that ships with the service."""
        return await self.to_the_end(self._delete(name))

    async def _add(self, name: str, recording: bytes, about: dict[str, Any]) -> Voice:
        voice_id, transcript, language = names.id_of(name), about.get("transcript"), about.get("language")
        await self.prompts.of(
            recording, transcript, self.read_own, param="audio_sample", voice=voice_id, language=language
        )
        try:
            return await asyncio.to_thread(lambda: self.voices.add(name, recording, **about))
        except BaseException:
            await self.forget(voice_id)
            raise

    async def _delete(self, name: str) -> str:
        voice_id = await asyncio.to_thread(self.voices.delete, name)
        await self.forget(voice_id)
        return voice_id

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
        """The result of `work`, which continues even if this call is cancelled, as when a client disconnects."""
        # a context of its own: Serve cancels what a request has asked the stages for when the request is cancelled
        task = asyncio.create_task(work, context=contextvars.Context())
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        return await asyncio.shield(task)

    # state

    async def status(self) -> dict[str, Any]:
        """The status of all stages, within PATIENCE seconds. Never raises."""
        try:
            self._known = await asyncio.wait_for(self.backend.status(), PATIENCE)
        except Exception:  # whatever a stage's trouble is, this process is alive and says so
            self._known = dict(NOTHING_KNOWN)
        return self._known

    async def last_status(self) -> dict[str, Any]:
        """The last known status of the stages. Starts an update without waiting for it."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self.status())
            await asyncio.wait([self._asking], timeout=GLANCE)
        return self._known

    def _tidy(self) -> None:
        """At start: closes the data folder to other users and removes the leftovers of processes that died."""
        data = self.settings.data
        with contextlib.suppress(OSError):  # not made yet
            if others := set(os.listdir(data)) - set(FOLDERS):
                log.warning(
                    "%s keeps its mode because it also contains %s", data, ", ".join(sorted(others)[:3])
                )
            else:
                private_files.tighten(data, below=False)
        for folder in FOLDERS:
            private_files.tighten(data / folder)
        self.voices.sweep()
        with contextlib.suppress(OSError):  # the voices cannot be listed, which the library logs
            kept = {REQUESTS} if self.settings.voice_encoder.keep_request_references else set()
            prompt_files.sweep(data / "prompts", self.voices.ids() | kept)
