"""Jobs as their users see them: submit, inspect, cancel, delete."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from deployments.contract.errors import InvalidInput, NotFound, printable
from serve_app.books.cover import check_cover
from serve_app.books.listing import listing
from serve_app.books.pronunciations import Pronunciations
from serve_app.config.settings import ServiceSettings
from serve_app.jobs import sources
from serve_app.jobs.access import Stores
from serve_app.jobs.audio_store import AudioStore
from serve_app.jobs.convert import outputs_of, titled
from serve_app.jobs.database import Database
from serve_app.jobs.models import FINISHED, STATES, JobRow
from serve_app.jobs.plan import chosen, speakers
from serve_app.jobs.progress import progress
from serve_app.jobs.request import DEFAULT_VOICE, JobOptions, JobRequest, JobVoice, stored
from serve_app.jobs.segments import SegmentStore
from serve_app.jobs.store import JobStore, new_id
from serve_app.models import Model
from serve_app.service import Service

log = logging.getLogger("chorale.jobs")

NO_DEVICE = {"name": None, "memory_used_bytes": None, "memory_total_bytes": None, "utilization": None}


@dataclass(frozen=True, slots=True)
class Submission:
    """A book to speak. source: the name of its file; data: its bytes; voices: by speaker, names or ids.

    recording: an audio file to clone the default voice from, instead of a named one; transcript: the text spoken in it.
    cover: a JPEG or PNG file that replaces the book's.
    """

    source: str
    data: bytes
    model: str | None = None
    voice: str | None = None
    voices: Mapping[str, str] = field(default_factory=dict)
    recording: bytes | None = None
    transcript: str | None = None
    cover: bytes | None = None
    language: str | None = None
    seed: int | None = None
    speed: float = 1.0
    max_tokens: int | None = None
    controls: Mapping[str, Any] = field(default_factory=dict)
    options: JobOptions = field(default_factory=JobOptions)


def open_stores(settings: ServiceSettings) -> Stores:
    """Connects to nothing yet. Raises ConfigError."""
    database = Database(settings.jobs_database)
    return Stores(JobStore(database), SegmentStore(database), AudioStore(settings.jobs_audio))


class Jobs:
    """The jobs of a service. Its methods raise DatabaseAway if the database does not respond."""

    def __init__(self, service: Service, stores: Stores | None = None) -> None:
        self.service = service
        self.stores = stores or open_stores(service.settings)

    async def submit(
        self, asked: Submission, job_id: str | None = None, charge: Callable[[int], None] | None = None
    ) -> JobRow:
        """Checks everything that can be checked now, and queues the job.

        charge: called with the number of characters that will be spoken; what it raises refuses the job.
        Raises InvalidInput, NotFound and Unavailable (param "model"), DiskFull, and what `sources.read` raises.
        """
        model = await self.service.models.get(asked.model)
        seed = model.options.sampling.seed if asked.seed is None else asked.seed
        seed = secrets.randbelow(2**31) if seed is None else seed
        model.spec.sampling(asked.controls, seed=seed, speed=asked.speed, max_tokens=asked.max_tokens)
        outputs_of(asked.options).check()
        Pronunciations(asked.options.pronunciations)
        if asked.cover is not None:
            check_cover(asked.cover)
        book = await sources.read(asked.data, asked.source)
        chapters = [book.chapters[index] for index in chosen(book, asked.options)]
        if not (heard := await asyncio.to_thread(speakers, chapters)):
            raise InvalidInput("Invalid 'chapters': the chosen chapters contain no text.", param="chapters")
        if asked.options.read_along and not sources.is_epub(asked.data):
            raise InvalidInput("Invalid 'read_along': the book must be an EPUB.", param="read_along")
        if charge is not None:
            charge(sum(chapter.characters for chapter in chapters))
        job_id = job_id or new_id()
        key = f"uploads/{job_id}/source"
        try:
            voices = await self._voices(asked, model, job_id, heard)
            await asyncio.to_thread(self.stores.audio.put, key, asked.data)
            cover = f"uploads/{job_id}/cover" if asked.cover is not None else None
            if asked.cover is not None and cover is not None:
                await asyncio.to_thread(self.stores.audio.put, cover, asked.cover)
            request = JobRequest(
                source=asked.source,
                key=key,
                cover=cover,
                model=model.name,
                voices=voices,
                language=asked.language,
                seed=seed,
                speed=asked.speed,
                max_tokens=asked.max_tokens,
                controls=dict(asked.controls),
                options=asked.options,
            )
            title = titled(book, sources.title_of(book, asked.source), asked.options, "").about.title
            title = "".join(c if c.isprintable() else " " for c in title)  # Postgres refuses a NUL
        except BaseException:
            await asyncio.to_thread(self.stores.audio.delete, f"uploads/{job_id}")
            raise
        try:  # if the client leaves now, the thread still adds the job, which needs its files
            add = self.stores.jobs.add
            row = await asyncio.to_thread(add, title, request.model_dump(mode="json"), job_id)
        except Exception:
            await asyncio.to_thread(self.stores.audio.delete, f"uploads/{job_id}")
            raise
        log.info("job %s: %d bytes, model %s", job_id, len(asked.data), model.name)
        return row

    async def _voices(
        self, asked: Submission, model: Model, job_id: str, heard: Iterable[str]
    ) -> dict[str, JobVoice]:
        """The job's own copies of its voices, which may be deleted while the job waits. heard: the speakers."""
        voices: dict[str, JobVoice] = {}
        named = {DEFAULT_VOICE: asked.voice or "", **asked.voices}
        if asked.recording is not None:
            about = ("reference_audio", asked.recording, asked.transcript, None)
            voices[DEFAULT_VOICE] = await self._kept(job_id, *about)
        for speaker in dict.fromkeys([*heard, *asked.voices]):
            if speaker not in voices:
                voices[speaker] = await self._named(job_id, model, speaker, named.get(speaker, speaker))
        return {DEFAULT_VOICE: next(iter(voices.values()))} | voices

    async def _named(self, job_id: str, model: Model, speaker: str, name: str) -> JobVoice:
        """A voice of the library. speaker: who has it."""
        if not name:
            message = "Missing required field 'voice'."
            raise InvalidInput(message, param="voice", code="missing_required_parameter")
        try:
            voice, _ = await self.service.prompt(name, model)
            audio = await asyncio.to_thread(self.service.voices.read, voice)
        except (InvalidInput, NotFound) as error:  # NotFound: deleted in between
            param, message = "voice", error.message
            if speaker:
                param = "voices"
                message = f"Invalid 'voices': the speaker '{printable(speaker)}' needs a voice. {message}"
            raise InvalidInput(message, param=param, code=error.code) from None
        return await self._kept(job_id, voice.name, audio, voice.transcript, voice.language)

    async def _kept(
        self, job_id: str, name: str, audio: bytes, transcript: str | None, language: str | None
    ) -> JobVoice:
        digest = hashlib.sha256(audio).hexdigest()
        key = f"uploads/{job_id}/{digest}"
        await asyncio.to_thread(self.stores.audio.put, key, audio)
        return JobVoice(name=name, recording=key, digest=digest, transcript=transcript, language=language)

    async def preview(self, source: str, data: bytes) -> dict[str, Any]:
        """What a job would speak. Raises as `sources.read` does."""
        return listing(await sources.read(data, source))

    async def card(self, job_id: str) -> dict[str, Any]:
        """The job as clients see it. Raises NotFound."""
        return (await self.cards([await asyncio.to_thread(self.stores.jobs.get, job_id)]))[0]

    async def cards(self, rows: list[JobRow]) -> list[dict[str, Any]]:
        positions = {}
        if any(row.state == "queued" for row in rows):
            positions = await asyncio.to_thread(self.stores.jobs.positions)
        return [card(row, positions.get(row.id)) for row in rows]

    async def delete(self, job_id: str) -> None:
        """Deletes a job in any state, with all its files and the sounds that no other job uses. Raises NotFound."""
        await asyncio.to_thread(self._delete, job_id)

    async def clean(self) -> int:
        """Deletes all finished jobs, and returns their number."""
        finished = await asyncio.to_thread(self.stores.jobs.finished)
        deleted = 0
        for job_id in finished:
            try:
                await asyncio.to_thread(self._delete, job_id, FINISHED)
                deleted += 1
            except NotFound:  # deleted by another call, or begun again
                continue
        return deleted

    def _delete(self, job_id: str, states: Collection[str] = STATES) -> None:
        row, sounds = self.stores.jobs.delete(job_id, states)
        audio = self.stores.audio
        for folder in ("uploads", "outputs"):
            audio.delete(f"{folder}/{row.id}")
        for sound in sounds:
            audio.delete_sound(sound)

    async def redo(self, job_id: str, index: int, changes: dict[str, Any]) -> None:
        """Speaks a segment of a finished job again, with another seed, text or voice, and rewrites the files.

        Raises NotFound and InvalidInput.
        """
        row = await asyncio.to_thread(self.stores.jobs.get, job_id)
        if row.state not in FINISHED:
            message = f"The job is {row.state}: wait until it is done."
            raise InvalidInput(message, param="job_id", code="job_not_finished")
        request = stored(row.request)
        if (text := changes.get("text")) is not None:
            await self._check_segment(text, request)
        if (voice := changes.get("voice")) is not None and voice not in request.voices:
            model = await self.service.models.get(request.model)
            kept = await self._named(job_id, model, DEFAULT_VOICE, voice)
            added = {voice: kept.model_dump(mode="json")}
            await asyncio.to_thread(
                self.stores.jobs.set_request,
                job_id,
                lambda stored: {**stored, "voices": {**stored["voices"], **added}},
            )
        before = await asyncio.to_thread(self.stores.segments.redo, job_id, index, changes)
        if before is not None and not await asyncio.to_thread(self.stores.jobs.used, [before]):
            await asyncio.to_thread(self.stores.audio.delete_sound, before)

    async def _check_segment(self, text: str, request: JobRequest) -> None:
        """Raises InvalidInput (param "text") unless the model can speak the text."""
        try:
            read = self.service.read(text, request.model, request.language)
            if not [segment async for segment in read if len(segment.token_ids)]:
                raise InvalidInput("Invalid 'input': nothing in it can be spoken.", code="nothing_to_speak")
        except InvalidInput as error:
            error.param, error.message = "text", error.message.replace("'input'", "'text'")
            raise


def card(row: JobRow, position: int | None) -> dict[str, Any]:
    """The job object of the HTTP API. What is only in a request that cannot be read is None."""
    figures, request, error = row.figures, None, row.error and {"message": row.error, "code": row.code}
    try:
        request = stored(row.request)
    except InvalidInput as unreadable:
        error = {"message": unreadable.message, "code": unreadable.code}
    return {
        "id": row.id,
        "object": "job",
        "state": row.state,
        "paused": row.paused,
        "title": row.title,
        "model": request and request.model,
        "voice": request and request.voice(DEFAULT_VOICE).name,
        "format": request and request.options.format,
        "mode": request and request.options.mode,
        "seed": request and request.seed,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "queue_position": position,
        "progress": progress(row.state, figures, row.worked),
        "device": figures.get("device") or NO_DEVICE,
        "process": figures.get("process"),
        "system": figures.get("system"),
        "faults": figures.get("faults", 0),
        "outputs": [{**output, "url": _url(row.id, output["name"])} for output in row.outputs],
        "warnings": row.plan.get("warnings", []),
        "error": error,
    }


def _url(job_id: str, name: str) -> str:
    return f"/v1/jobs/{job_id}/files/{quote(name)}"


def digest_of(asked: Submission) -> str:
    """A hash of the whole submission: equal submissions have equal hashes."""
    fields = {
        name: getattr(asked, name)
        for name in ("source", "model", "voice", "transcript", "language", "seed", "speed", "max_tokens")
    }
    fields |= {"voices": dict(asked.voices), "controls": dict(asked.controls)}
    fields |= {"options": asked.options.model_dump(mode="json")}
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    for data in (asked.data, asked.recording or b"", asked.cover or b""):
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
