"""The service below HTTP: models, voices and one way to speak. Routes, the command line and jobs use it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import secrets
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from deployments import families
from deployments import prompts as prompt_files
from deployments.contract.errors import InvalidInput, NotFound
from deployments.contract.speech import Segment, VoicePrompt
from deployments.contract.telemetry import PROMPTS, Recorder, Unrecorded
from serve_app import data_folder, references
from serve_app.audio import sandbox
from serve_app.config.settings import ServiceSettings
from serve_app.models import REQUESTS, Model, Models
from serve_app.synthesis.backend import Processes
from serve_app.synthesis.meter import Meter
from serve_app.synthesis.speech import Speech
from serve_app.synthesis.stream import SpeechStream
from serve_app.synthesis.text_flow import TextFlow
from serve_app.voices import names
from serve_app.voices.library import Voice, VoiceLibrary
from serve_app.voices.prompts import Examined

T = TypeVar("T")
SHIPPED_VOICES = Path(families.__file__).parent / "small" / "voices"  # every family can clone them
GLANCE = 0.02  # seconds in which an idle stage answers


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """A request to speak.

    voice: an id or a name. recording: an audio file to clone the voice from instead; transcript: the text spoken in
    it; recording_language: its language. timbres: voices whose timbre is mixed with it, by id or name. model: None for
    the default one. seed: None for a random one. controls: values of the model's `FamilySpec.controls` by name.
    priority, whole, timed, id, began: see `Speech`.
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
    recording_language: str | None = None
    timbres: Sequence[str] = ()
    timed: bool = False
    began: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, slots=True)
class Spoken:
    """The stream of a request, and the choices made for it. sample_rate: in Hz; warnings: keys of `WARNINGS`.

    voice: its name, or "reference_audio" for a recording.
    """

    stream: SpeechStream
    voice: str
    seed: int
    sample_rate: int
    warnings: tuple[str, ...] = ()


def reading_of(segment: Segment, symbols: Sequence[str]) -> dict[str, Any]:
    """A segment's text, the words that are spoken for it, its phones, and the pause after it in seconds."""
    return {
        "text": segment.text,
        "spoken": segment.spoken,
        "phones": " ".join(symbols),
        "pause_after": segment.pause_after,
    }


class Service:
    """The speech service of this process. shipped: the folder of the voices that ship with it.

    peers: all processes that serve the same models and voices, this one included; `forget` calls their `forget_here`.
    recorder: of the metrics.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        models: Models,
        shipped: Path = SHIPPED_VOICES,
        *peers: Processes,
        recorder: Recorder | None = None,
    ) -> None:
        self.recorder = recorder or Unrecorded()
        self.settings, self.models, self.started = settings, models, time.time()
        self.voices = VoiceLibrary(shipped, settings.data / "voices", capacity=settings.limits.max_voices)
        self._peers = peers
        self._finishing: set[asyncio.Task[Any]] = set()
        self._known: dict[str, Any] = {"ready": False, "models": {}}
        self._asking: asyncio.Task[dict[str, Any]] | None = None
        self._tidy()

    # speech

    async def speak(self, request: SpeechRequest) -> Spoken:
        """Prepares a stream without starting it: errors in the text are raised when the first event is requested.

        A text may have any length (see `check_text`). Raises NotFound and Unavailable (param "model"), Overloaded, and
        InvalidInput (param "input", "voice", "reference_audio" or a control).
        """
        model = await self.models.get(request.model)
        model.synthesizer.room.check(request.priority)
        seed = model.options.sampling.seed if request.seed is None else request.seed
        seed = secrets.randbelow(2**31) if seed is None else seed
        sampling = model.spec.sampling(
            request.controls, model.name, seed=seed, speed=request.speed, max_tokens=request.max_tokens
        )
        warnings: tuple[str, ...] = ()
        if request.recording is not None:
            voice = "reference_audio"
            references.check_transcript(model, request.transcript, "reference_text")
            read = references.reader(self.models, model, sandbox.shared().read)
            about = {"param": voice, "language": request.recording_language}
            examined = await model.prompts.of(request.recording, request.transcript, read, **about)
            prompt, warnings = examined.prompt, examined.warnings
            self._count(model, examined)
        elif request.voice is not None:
            named, prompt = await self.prompt(request.voice, model)
            voice = named.name
        else:
            message = "Missing required field 'voice' (or 'reference_audio')."
            raise InvalidInput(message, param="voice", code="missing_required_parameter")
        if request.timbres:
            prompt = await self._mixed(prompt, request.timbres, model)
        speech = Speech(
            request.input,
            prompt,
            sampling,
            request.language,
            request.priority,
            request.whole,
            request.id,
            request.began,
            timed=request.timed,
        )
        stream = model.synthesizer.stream(speech, Meter(self.recorder, model.name))
        return Spoken(stream, voice, seed, model.spec.sample_rate, warnings)

    async def read(
        self,
        text: str,
        model: str | None = None,
        language: str | None = None,
        controls: Mapping[str, object] | None = None,
    ) -> AsyncGenerator[Segment]:
        """The segments of a text of any length, without speaking it; none if it has nothing to speak.

        controls: as in `SpeechRequest`.

        Raises NotFound and Unavailable (param "model"), and InvalidInput (param "input" or "language").
        """
        asked = await self.models.get(model)
        chosen = asked.spec.sampling(controls, asked.name).controls
        text_flow = TextFlow(asked.backend, text, language, asked.spec.of_text(chosen))
        try:
            while (segment := await text_flow.next()) is not None:
                if not text_flow.is_silence:
                    yield segment
        finally:
            text_flow.close()

    async def readings(
        self, text: str, model: str | None = None, language: str | None = None
    ) -> list[dict[str, Any]]:
        """What `speak` will say, segment by segment, as `reading_of` describes it. Raises what `read` raises."""
        segments = [segment async for segment in self.read(text, model, language)]
        symbols = await (await self.models.get(model)).backend.symbols(segments) if segments else []
        return [reading_of(segment, names) for segment, names in zip(segments, symbols, strict=True)]

    def check_text(self, text: str, *, wait: bool = False) -> None:
        """Raises InvalidInput (param "input") for a text longer than a request over HTTP may have.

        wait: for a request whose client waits for the whole sound, which must not take minutes.
        """
        most = self.settings.limits.max_input_chars
        if wait:
            most = min(most, self.settings.jobs.long_text_chars)
        if len(text) > most:
            message = f"Invalid 'input': {len(text)} characters, at most {most} are allowed."
            raise InvalidInput(message, param="input", code="string_above_max_length")

    # voices

    async def prompt(self, name: str, model: Model) -> tuple[Voice, VoicePrompt]:
        """A voice and its prompt. Raises InvalidInput (param "voice"), also where the model cannot use it."""
        try:
            voice = await asyncio.to_thread(self.voices.get, name)
            audio = await asyncio.to_thread(self.voices.read, voice)
        except NotFound as error:  # here it is a wrong value of a field, as OpenAI sees it
            raise InvalidInput(error.message, param="voice", code=error.code) from None

        async def made() -> VoicePrompt:
            fresh = True  # until known: a stage that fails may have kept a prompt before
            try:
                references.check_transcript(model, voice.transcript, "voice")
                about = {"param": "voice", "voice": voice.id, "language": voice.language}
                read_audio = references.reader(self.models, model, references.trusted)
                examined = await model.prompts.of(audio, voice.transcript, read_audio, **about)
                fresh = examined.fresh
                self._count(model, examined)
                return examined.prompt
            except InvalidInput as error:
                message = f"The model '{model.name}' cannot speak with the voice '{voice.name}'. "
                raise InvalidInput(message + error.message, param="voice", code=error.code) from None
            finally:
                if fresh and not await asyncio.to_thread(self.voices.holds, voice):
                    await self.forget(voice.id)  # the voice was deleted meanwhile

        return voice, await self.to_the_end(made())

    async def _mixed(self, prompt: VoicePrompt, timbres: Sequence[str], model: Model) -> VoicePrompt:
        """Raises InvalidInput (param "timbres") if the model has no mixed timbres or cannot use one of the voices."""
        if not model.spec.mixes:
            raise InvalidInput(
                f"Invalid 'timbres': a voice of {model.name} is one recording.", param="timbres"
            )
        others = []
        for name in timbres:
            try:
                others.append((await self.prompt(name, model))[1])
            except InvalidInput as error:
                raise InvalidInput(error.message, param="timbres", code=error.code) from None
        return prompt.mixed(others, model.spec.mixes)

    def _count(self, model: Model, examined: Examined) -> None:
        """Counts prompts from this process's memory; the voice encoder counts the others."""
        if not examined.fresh:
            self.recorder.record(PROMPTS, 1, model=model.name, source="ingress")

    async def add_voice(self, name: str, audio: bytes, **about: Any) -> Voice:
        """about: language, transcript, consent, description. The prompts are made first: one model must accept it.

        Keeps the part of the recording that some model can use. Raises InvalidInput (param "name", "audio_sample" or
        "transcript"), Overloaded, Unavailable if no model can speak, and ChoraleError if the disk fails.
        """
        await asyncio.to_thread(self.voices.check_name, name)
        models = self.models.by_rank() or [await self.models.get(None)]
        bounds = references.bounds(*(model.spec for model in models))
        read = await sandbox.shared().read(audio, **bounds, param="audio_sample")
        recording = await asyncio.to_thread(read.to_wav)
        return await self.to_the_end(self._add(name, recording, models, {**about, "warnings": read.warnings}))

    async def _add(self, name: str, recording: bytes, models: list[Model], about: dict[str, Any]) -> Voice:
        voice_id, transcript = names.id_of(name), about.get("transcript")
        kept = {"param": "audio_sample", "voice": voice_id, "language": about.get("language")}
        refused: list[InvalidInput] = []
        try:
            for model in models:
                try:
                    references.check_transcript(model, transcript, "transcript")
                    read = references.reader(self.models, model, references.trusted)
                    await model.prompts.of(recording, transcript, read, **kept)
                except InvalidInput as error:
                    refused.append(error)
            if len(refused) == len(models):
                raise refused[0]
            return await asyncio.to_thread(lambda: self.voices.add(name, recording, **about))
        except BaseException:
            await self.forget(voice_id)
            raise

    async def delete_voice(self, name: str) -> str:
        """Returns the voice's id. Raises NotFound, and InvalidInput for a voice that ships with the service."""

        async def deleted() -> str:
            voice_id = await asyncio.to_thread(self.voices.delete, name)
            await self.forget(voice_id)
            return voice_id

        return await self.to_the_end(deleted())

    async def forget(self, voice: str) -> None:
        """Drops the prompts of a voice, by its id: here, on disk, and in every other process."""
        self.forget_here(voice)
        await asyncio.to_thread(prompt_files.forget, self.settings.data / "prompts", voice)
        others = (*(model.backend for model in self.models), *self._peers)
        await asyncio.gather(*(each.forget(voice) for each in others))

    def forget_here(self, voice: str) -> None:
        """As `forget`, but only in this process's memory."""
        for model in self.models:
            model.prompts.forget(voice)

    def clear_prompts(self) -> None:
        """Drops all voice prompts in this process's memory."""
        for model in self.models:
            model.prompts.clear()

    async def free(self) -> list[dict[str, Any]]:
        """Frees unused memory in every process. The reports are those of `Processes.free`, with the model's name."""
        self.clear_prompts()

        async def freed(processes: Processes, **about: str) -> list[dict[str, Any]]:
            return [{**about, **process} for process in await processes.free()]

        asked = [freed(model.backend, model=model.name) for model in self.models]
        return list(chain(*await asyncio.gather(*asked, *map(freed, self._peers))))

    async def to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which continues even if this call is cancelled, as when a client disconnects."""
        # in a context of its own, because Serve cancels a request's calls to the stages together with the request
        task = asyncio.create_task(work, context=contextvars.Context())
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        return await asyncio.shield(task)

    # state

    async def status(self) -> dict[str, Any]:
        """As `Models.status`."""
        self._known = await self.models.status()
        return self._known

    async def last_status(self) -> dict[str, Any]:
        """The last known status. Starts an update without waiting for it."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self.status())
            await asyncio.wait([self._asking], timeout=GLANCE)
        return self._known

    def sweep_prompts(self, keep_requests: bool) -> None:
        """Removes prompts of voices that no longer exist. keep_requests: keep those of recordings in requests."""
        with contextlib.suppress(OSError):  # the voices cannot be listed, which the library logs
            kept = {REQUESTS} if keep_requests else set()
            prompt_files.sweep(self.settings.data / "prompts", self.voices.ids() | kept)

    def _tidy(self) -> None:
        """Closes the data folder to other users and removes the leftovers of dead processes."""
        data_folder.close(self.settings.data)
        self.voices.sweep()
        models = list(self.models)  # none yet where they are found later
        keeps = [model.options.voice_encoder.keep_request_references for model in models]
        self.sweep_prompts(keep_requests=any(keeps) or not models)
