"""The service below HTTP: models, voices and one way to speak. Routes, the command line and jobs use it.

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
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from deployments import families, private_files
from deployments import prompts as prompt_files
from deployments.contract.errors import InvalidInput, NotFound
from deployments.contract.family import FamilySpec
from deployments.contract.speech import Sampling, VoicePrompt
from serve_app.audio import sandbox
from serve_app.audio.decode import decode_recording
from serve_app.audio.recording import Recording
from serve_app.config.settings import ServiceSettings
from serve_app.models import REQUESTS, Model, Models
from serve_app.synthesis.speech import Speech
from serve_app.synthesis.stream import SpeechStream
from serve_app.voices import names
from serve_app.voices.library import Voice, VoiceLibrary

T = TypeVar("T")
log = logging.getLogger("chorale.voices")

FOLDERS = ("voices", "prompts")  # of the data folder
# recordings: every family can clone them
SHIPPED_VOICES = Path(families.__file__).parent / "small" / "voices"

PATIENCE = 3.0  # seconds that the stages have to tell how they are
UNKNOWN: dict[str, Any] = {"ready": False, "device": None, "stages": {}}  # of a model
NOTHING_KNOWN: dict[str, Any] = {"ready": False, "models": {}}
GLANCE = 0.02  # seconds: what a stage with nothing to do needs


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """A request to speak.

    voice: an id or a name. recording: an audio file to clone the voice from instead; transcript: the text spoken in
    it. model: None for the default one. seed: None for a random one. controls: by name, those of the model's
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

    voice: its name, or "reference_audio" for a recording; seed: the seed in use; sample_rate: in Hz; warnings: problems
    of the recording, as keys of `WARNINGS`.
    """

    stream: SpeechStream
    voice: str
    seed: int
    sample_rate: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """The shortest and the longest recording that is of use, in seconds."""

    min_reference_seconds: float
    max_reference_seconds: float


def _widest(specs: Iterable[FamilySpec]) -> Bounds:
    """What any of the families can use: each takes its part of a recording."""
    pairs = [(spec.min_reference_seconds, spec.max_reference_seconds) for spec in specs]
    return Bounds(min(least for least, _ in pairs), max(most for _, most in pairs))


def _check_transcript(model: Model, transcript: str | None, param: str) -> None:
    """Raises InvalidInput (param `param`) if the model needs the text that is spoken in a recording."""
    if model.spec.needs_transcript and not (transcript or "").strip():
        raise InvalidInput(
            f"Invalid '{param}': {model.name} needs a transcript of the recording, which has none.",
            param=param,
            code="missing_transcript",
        )


class Peers(Protocol):
    """All processes of the service, this one among them."""

    async def forget(self, voice: str) -> None:
        """Has `Service.forget_here` called in each. Never raises, and waits for a few seconds at most."""
        ...

    async def free(self) -> list[dict[str, Any]]:
        """As `Backend.free`, of these processes."""
        ...


class Service:
    """The speech service of this process. shipped: the folder of the voices that ship with it.

    peers: where other processes serve the same models and voices.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        models: Models,
        shipped: Path = SHIPPED_VOICES,
        peers: Peers | None = None,
    ) -> None:
        self.settings, self.models, self.started = settings, models, time.time()
        self.voices = VoiceLibrary(shipped, settings.data / "voices", capacity=settings.limits.max_voices)
        self._peers = peers
        self._finishing: set[asyncio.Task[Any]] = set()
        self._known = dict(NOTHING_KNOWN)
        self._asking: asyncio.Task[dict[str, Any]] | None = None
        self._tidy()

    # speech

    async def speak(self, request: SpeechRequest) -> Spoken:
        """Prepares a stream without starting it: errors in the text are raised when the first event is requested.

        A text may be of any length; routes bound theirs with `check_text`.
        Raises NotFound and Unavailable (param "model"), InvalidInput (param "input", "voice", "reference_audio" or
        a control), Overloaded.
        """
        model = await self.models.get(request.model)
        sampling = self._sampling(request, model)
        warnings: tuple[str, ...] = ()
        if request.recording is not None:
            voice = "reference_audio"
            _check_transcript(model, request.transcript, "reference_text")
            examined = await model.prompts.of(
                request.recording, request.transcript, partial(self.read_stranger, model.spec), param=voice
            )
            prompt, warnings = examined.prompt, examined.warnings
        elif request.voice is not None:
            named, prompt = await self.prompt(request.voice, model)
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
        stream = model.synthesizer.stream(speech)
        return Spoken(stream, voice, sampling.seed, model.spec.sample_rate, warnings)

    def check_text(self, text: str) -> None:
        """Raises InvalidInput (param "input") for a text longer than a request over HTTP may have."""
        most = self.settings.limits.max_input_chars
        if len(text) > most:
            message = f"Invalid 'input': {len(text)} characters, at most {most} are allowed."
            raise InvalidInput(message, param="input", code="string_above_max_length")

    def _sampling(self, request: SpeechRequest, model: Model) -> Sampling:
        seed = model.options.sampling.seed if request.seed is None else request.seed
        return model.spec.sampling(
            request.controls,
            seed=secrets.randbelow(2**31) if seed is None else seed,
            speed=request.speed,
            max_tokens=request.max_tokens,
        )

    # voices

    async def prompt(self, name: str, model: Model) -> tuple[Voice, VoicePrompt]:
        """A voice of the library and its prompt.

        Raises InvalidInput (param "voice") if it does not exist, or the model cannot speak with it.
        """

        def read() -> tuple[Voice, bytes]:
            voice = self.voices.get(name, "voice")
            return voice, self.voices.read(voice)

        try:
            voice, audio = await asyncio.to_thread(read)
        except NotFound as error:  # here it is a wrong value of a field, as OpenAI sees it
            raise InvalidInput(error.message, param="voice", code=error.code) from None

        async def made() -> VoicePrompt:
            fresh = True  # as far as is known: a stage that failed may have kept a prompt before
            try:
                _check_transcript(model, voice.transcript, "voice")
                examined = await model.prompts.of(
                    audio,
                    voice.transcript,
                    partial(self.read_own, model.spec),
                    param="voice",
                    voice=voice.id,
                    language=voice.language,
                )
                fresh = examined.fresh
                return examined.prompt
            except InvalidInput as error:
                message = (
                    f"The model '{model.name}' cannot speak with the voice '{voice.name}'. {error.message}"
                )
                raise InvalidInput(message, param="voice", code=error.code) from None
            finally:
                if fresh and not await asyncio.to_thread(self.voices.holds, voice):
                    await self.forget(voice.id)  # the voice was deleted meanwhile

        return voice, await self.to_the_end(made())

    async def add_voice(self, name: str, audio: bytes, **about: Any) -> Voice:
        """about: language, transcript, consent, description. The prompts are made first: one model must accept it.

        As much of the recording is kept as any model uses.
        Raises InvalidInput (param "name", "audio_sample" or "transcript"), Overloaded, Unavailable if no model can
        speak, and ChoraleError if the disk refuses.
        """
        await asyncio.to_thread(self.voices.check_name, name)
        models = self.models.by_rank()
        if not models:
            await self.models.get(None)
        read = await self.read_stranger(_widest(model.spec for model in models), audio, "audio_sample")
        recording = await asyncio.to_thread(read.to_wav)
        return await self.to_the_end(self._add(name, recording, models, {**about, "warnings": read.warnings}))

    async def delete_voice(self, name: str) -> str:
        """Returns the voice's id. Raises NotFound, and InvalidInput for a voice that ships with the service."""
        return await self.to_the_end(self._delete(name))

    async def _add(self, name: str, recording: bytes, models: list[Model], about: dict[str, Any]) -> Voice:
        voice_id, transcript, language = names.id_of(name), about.get("transcript"), about.get("language")
        refused: list[InvalidInput] = []
        try:
            for model in models:
                read = partial(self.read_own, model.spec)
                try:
                    _check_transcript(model, transcript, "transcript")
                    await model.prompts.of(
                        recording, transcript, read, param="audio_sample", voice=voice_id, language=language
                    )
                except InvalidInput as error:
                    refused.append(error)
            if len(refused) == len(models):
                raise refused[0]
            return await asyncio.to_thread(lambda: self.voices.add(name, recording, **about))
        except BaseException:
            await self.forget(voice_id)
            raise

    async def _delete(self, name: str) -> str:
        voice_id = await asyncio.to_thread(self.voices.delete, name)
        await self.forget(voice_id)
        return voice_id

    async def read_stranger(self, spec: FamilySpec | Bounds, audio: bytes, param: str) -> Recording:
        """A recording from outside, with warnings. Raises InvalidInput (param `param`), Overloaded, Unavailable."""
        return await sandbox.shared().read(
            audio, min_seconds=spec.min_reference_seconds, max_seconds=spec.max_reference_seconds, param=param
        )

    async def read_own(self, spec: FamilySpec, audio: bytes, param: str) -> Recording:
        """One from the voice library: the samples that were kept. Raises InvalidInput (param `param`)."""
        bounds = {"min_seconds": spec.min_reference_seconds, "max_seconds": spec.max_reference_seconds}
        return await asyncio.to_thread(decode_recording, audio, **bounds, param=param)

    async def forget(self, voice: str) -> None:
        """Drops the prompts of a voice, by its id: here, on disk, and in every other process."""
        self.forget_here(voice)
        await asyncio.to_thread(prompt_files.forget, self.settings.data / "prompts", voice)
        asked = [model.backend.forget(voice) for model in self.models]
        await asyncio.gather(*asked, *([self._peers.forget(voice)] if self._peers else []))

    def forget_here(self, voice: str) -> None:
        """As `forget`, in this process's memory alone."""
        for model in self.models:
            model.prompts.forget(voice)

    def clear_prompts(self) -> None:
        """Drops all voice prompts in this process's memory."""
        for model in self.models:
            model.prompts.clear()

    async def free(self) -> list[dict[str, Any]]:
        """Frees unused memory in every process. Each as from `Backend.free`, with the name of its model."""
        self.clear_prompts()

        async def of(model: Model) -> list[dict[str, Any]]:
            return [{"model": model.name, **process} for process in await model.backend.free()]

        asked = [of(model) for model in self.models]
        found = await asyncio.gather(*asked, *([self._peers.free()] if self._peers else []))
        return [process for processes in found for process in processes]

    async def to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which continues even if this call is cancelled, as when a client disconnects."""
        # a context of its own: Serve cancels what a request has asked the stages for when the request is cancelled
        task = asyncio.create_task(work, context=contextvars.Context())
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        return await asyncio.shield(task)

    # state

    async def status(self) -> dict[str, Any]:
        """{"ready", "models": {name: its state, and the status of its stages}}, within PATIENCE seconds. Never raises.

        Ready: no model is starting, and a model's stages all answer.
        """

        async def of(model: Model) -> dict[str, Any]:
            try:
                return await asyncio.wait_for(model.backend.status(), PATIENCE)
            except Exception:  # whatever a stage's trouble is, this process is alive and says so
                return dict(UNKNOWN)

        models = list(self.models)
        stages = dict(
            zip((model.name for model in models), await asyncio.gather(*map(of, models)), strict=True)
        )
        found = {
            name: {"state": entry.state, "reason": entry.reason, **stages.get(name, UNKNOWN)}
            for name, entry in self.models.entries.items()
        }
        working = [found[name]["ready"] for name in stages if name in found]
        self._known = {"ready": self.models.ready and any(working) and all(working), "models": found}
        return self._known

    async def last_status(self) -> dict[str, Any]:
        """The last known status of the stages. Starts an update without waiting for it."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self.status())
            await asyncio.wait([self._asking], timeout=GLANCE)
        return self._known

    def sweep_prompts(self, keep_requests: bool) -> None:
        """Removes what processes that died have left on disk. keep_requests: prompts of recordings in requests stay."""
        with contextlib.suppress(OSError):  # the voices cannot be listed, which the library logs
            kept = {REQUESTS} if keep_requests else set()
            prompt_files.sweep(self.settings.data / "prompts", self.voices.ids() | kept)

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
        models = list(self.models)  # none yet where they are found later
        keeps = [model.options.voice_encoder.keep_request_references for model in models]
        self.sweep_prompts(keep_requests=any(keeps) or not models)
