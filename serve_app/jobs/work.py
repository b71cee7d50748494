"""The work on one job: plan it, speak its segments, and write its files."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deployments.contract.errors import (
    ChoraleError,
    DiskFull,
    InvalidInput,
    NotFound,
    Overloaded,
    SynthesisFailed,
    Unavailable,
)
from serve_app.books.book import Book
from serve_app.jobs import progress, sources
from serve_app.jobs.access import AGAIN_S, Access, Pause, Stores
from serve_app.jobs.convert import Converted, SoundMissing, Stopped, convert, titled
from serve_app.jobs.database import DatabaseAway
from serve_app.jobs.heartbeat import Heartbeat
from serve_app.jobs.models import JobRow, SegmentRow
from serve_app.jobs.plan import chosen, segments_of, warnings
from serve_app.jobs.request import DEFAULT_VOICE, stored
from serve_app.jobs.segments import Counts
from serve_app.jobs.sounds import Sounds
from serve_app.jobs.store import LeaseLost
from serve_app.models import Model
from serve_app.service import Service

log = logging.getLogger("chorale.jobs")

PAUSE_S = 5.0  # before a paused job is tried again


class Work:
    """A job that is leased to the runner `owner`. conversion: of the jobs of this process.

    Raises InvalidInput for a stored request that cannot be read.
    """

    def __init__(
        self,
        service: Service,
        stores: Stores,
        row: JobRow,
        owner: str,
        lease_s: float,
        conversion: progress.Conversion,
    ) -> None:
        self._service, self._stores, self._row, self._conversion = service, stores, row, conversion
        self._owner, self._lease_s = owner, lease_s
        self._access = Access(row.id)
        self._request = stored(row.request)
        options = self._request.options
        batch = 1 if options.mode == "sentence" else options.bucket_size
        self._window = (
            1 if batch == 1 else 2 * batch
        )  # the next batch queues, so that no slot waits for the database
        self._batches = progress.Batches(batch)
        self._plan: dict[str, Any] = dict(row.plan)
        self._titles: dict[int, str] = {}
        self._chapter: int | None = None
        self._stop = threading.Event()  # for threads
        self._heart = Heartbeat(stores, row.id, owner, lease_s, self._figures)
        self._sounds = Sounds(service, stores.audio, self._access, self._request)

    async def run(self) -> None:
        """Returns when the job has ended, is paused, or belongs to another runner. Cancelled: gives the job back."""
        stages = asyncio.create_task(self._stages())
        beats = asyncio.create_task(self._beat(stages))
        try:
            await asyncio.wait({stages})
            await self._access.settled()
            await self._settle(stages)
            if self._heart.lost or self._heart.cancelling:
                await self._tidy()
        except asyncio.CancelledError:
            self._stop.set()
            stages.cancel()
            await asyncio.wait({stages})
            with contextlib.suppress(LeaseLost, DatabaseAway, DiskFull):
                await asyncio.to_thread(self._stores.jobs.give_back, self._row.id, self._owner)
            raise
        finally:
            self._stop.set()
            beats.cancel()

    async def _settle(self, stages: asyncio.Task[None]) -> None:
        """Records the outcome of the stages."""
        jobs, job_id, owner = self._stores.jobs, self._row.id, self._owner
        try:
            if self._heart.lost:
                return
            if self._heart.cancelling:
                await self._access.db(jobs.end, job_id, owner, "cancelled", "The job was cancelled.")
            elif stages.cancelled():
                return
            elif isinstance(error := stages.exception(), Pause):
                log.info("job %s is paused: %s", job_id, error.reason)
                await self._access.db(jobs.pause, job_id, owner, error.reason, PAUSE_S)
            elif isinstance(error, ChoraleError):
                await self._fail(error.message, error.code)
            elif isinstance(error, LeaseLost):
                raise error
            elif error is not None:
                log.error("job %s failed", job_id, exc_info=error)
                await self._fail("An internal error stopped the work on this job.", "internal_error")
        except LeaseLost:
            self._heart.lost = True
            log.info("job %s: the lease was lost", job_id)

    async def _tidy(self) -> None:
        """Deletes files that were written after the job ended or was deleted."""
        jobs, audio, job_id = self._stores.jobs, self._stores.audio, self._row.id
        unrecorded = self._sounds.unrecorded
        for sound in unrecorded - await self._access.db(jobs.used, list(unrecorded)):
            await asyncio.to_thread(audio.delete_sound, sound)
        try:
            await self._access.db(jobs.get, job_id)
        except NotFound:
            await asyncio.to_thread(audio.delete, f"outputs/{job_id}")

    async def _fail(self, message: str, code: str) -> None:
        end = self._stores.jobs.end
        await self._access.db(
            end, self._row.id, self._owner, "failed", f"Failed: {message}", error=message, code=code
        )

    # the stages

    async def _stages(self) -> None:
        model = await self._model()
        data = await self._access.files(self._stores.audio.get, self._request.key)
        try:
            book = await sources.read(data, self._request.source)
        except (Overloaded, Unavailable) as error:
            raise Pause(f"The job waits until its book can be read. {error.message}") from None
        if not self._plan.get("complete"):
            await self._initialise(book, model)
        while True:
            await self._generate(model)
            await self._check_spoken()
            try:
                converted = await self._convert(book, data)
            except SoundMissing as missing:
                await self._access.db(self._stores.segments.lost, self._row.id, missing.index, missing.sound)
                continue
            await self._publish(converted)
            return

    async def _model(self) -> Model:
        try:
            return await self._service.models.get(self._request.model)
        except (Unavailable, NotFound) as error:
            raise Pause(f"The job waits for its model. {error.message}") from None

    async def _initialise(self, book: Book, model: Model) -> None:
        segments, job_id = self._stores.segments, self._row.id
        await self._change("Splitting the text into segments.", state="initialising", paused=None)
        done = {index for index, _ in await self._access.db(segments.chapters, job_id)}
        indices = chosen(book, self._request.options)
        for index in indices:
            if index not in done:
                title = book.chapters[index].title
                try:
                    chapter = book.chapters[index]
                    planned = await segments_of(self._service, self._request, chapter, self._sounds.respelled)
                except (Unavailable, NotFound) as error:
                    raise Pause(f"The job waits for its model. {error.message}") from None
                await self._access.db(segments.add_chapter, job_id, self._owner, index, title, planned)
        counts = await self._access.db(segments.counts, job_id)
        total = Counts.sum(counts.values())
        if total.segments == total.faulty:
            first = await self._access.db(segments.page, job_id, state="faulty", limit=1)
            message = first[0].error if first else "Invalid 'input': nothing in it can be spoken."
            raise InvalidInput(message or "", param="input", code="nothing_to_speak")
        noted = [*book.warnings, *warnings(book.chapters[index] for index in indices)]
        self._plan |= {"complete": True, "rate": model.spec.sample_rate, "warnings": noted}
        await self._change(f"{total.segments} segments in {len(counts)} chapters.", plan=self._plan)

    async def _generate(self, model: Model) -> None:
        segments, job_id = self._stores.segments, self._row.id
        self._titles = dict(await self._access.db(segments.chapters, job_id))
        await self._change("Speaking the segments.", state="generating", paused=None)
        self._batches.begin()
        speaking: set[asyncio.Task[None]] = set()
        try:
            while True:
                if free := self._window - len(speaking):
                    rows = await self._access.db(segments.lease, job_id, self._owner, free, self._lease_s)
                    speaking |= {asyncio.create_task(self._speak(row, model)) for row in rows}
                if not speaking:
                    if not await self._access.db(segments.page, job_id, state="waiting", limit=1):
                        return
                    await asyncio.sleep(AGAIN_S)  # another runner's leases must expire first
                    continue
                done, speaking = await asyncio.wait(speaking, return_when=asyncio.FIRST_COMPLETED)
                for error in [error for task in done if (error := task.exception()) is not None]:
                    raise error
        finally:
            for task in speaking:
                task.cancel()
            await asyncio.gather(*speaking, return_exceptions=True)

    async def _check_spoken(self) -> None:
        """Raises SynthesisFailed if every segment is a fault."""
        segments, job_id = self._stores.segments, self._row.id
        if not await self._access.db(segments.page, job_id, state="spoken", limit=1):
            (first,) = await self._access.db(segments.page, job_id, state="faulty", limit=1)
            raise SynthesisFailed(f"No segment could be spoken. {first.error}")

    async def _convert(self, book: Book, data: bytes) -> Converted:
        await self._change("Writing the files.", state="converting", paused=None)
        rows = self._stores.segments.all(self._row.id, state="spoken")
        audio, rate, options = self._stores.audio, int(self._plan["rate"]), self._request.options
        book = titled(book, self._row.title, options, self._request.voice(DEFAULT_VOICE).name)
        if self._request.cover is not None:
            book = replace(book, cover=await self._access.files(audio.get, self._request.cover))

        def written() -> Converted:
            folder = audio.scratch(self._row.id)
            try:
                converted = convert(book, data, options, rows, audio, rate, folder, self._stop)
                for output in converted.outputs:
                    if self._stop.is_set():
                        raise Stopped
                    audio.adopt(f"outputs/{self._row.id}/{output.path.name}", output.path)
                return converted
            finally:
                audio.clear_scratch(folder)

        began = time.monotonic()
        try:
            converted = await self._access.files(written)
        except DatabaseAway as error:
            raise Pause(f"{error.message} The job continues when it does.") from None
        except (Overloaded, Unavailable) as error:
            raise Pause(f"The job waits until its book can be read. {error.message}") from None
        sound = sum(output.seconds for output in converted.outputs)
        self._conversion.measured(time.monotonic() - began, sound)
        return converted

    async def _publish(self, converted: Converted) -> None:
        audio, job_id = self._stores.audio, self._row.id
        outputs = [
            {
                "name": output.path.name,
                "format": output.format,
                "bytes": await asyncio.to_thread(audio.size, f"outputs/{job_id}/{output.path.name}"),
            }
            for output in converted.outputs
        ]
        total = Counts.sum((await self._access.db(self._stores.segments.counts, job_id)).values())
        state = "done_with_faults" if total.faulty else "done"
        spoken = f"Done: {total.spoken} of {total.segments} segments spoken."
        self._plan["warnings"] = [*dict.fromkeys([*self._plan["warnings"], *converted.warnings])]
        values = {"outputs": outputs, "plan": self._plan, "figures": self._figures(total, self._heart.status)}
        await self._access.db(self._stores.jobs.end, job_id, self._owner, state, spoken, **values)

    async def _speak(self, row: SegmentRow, model: Model) -> None:
        """Speaks one segment and records it in its row."""
        segments, job_id = self._stores.segments, self._row.id
        self._chapter = row.chapter
        try:
            values = await self._sounds.of(row, model)
        except Pause:
            raise
        except (Unavailable, NotFound) as error:
            raise Pause(f"The job waits for its model. {error.message}") from None
        except Exception as error:
            message = error.message if isinstance(error, ChoraleError) else "An internal error occurred."
            log.warning("job %s, segment %d: %r", job_id, row.index, error)
            final = isinstance(error, InvalidInput)
            await self._access.db(segments.failed, job_id, row.index, self._owner, message, final=final)
            await self._access.db(self._stores.jobs.log, job_id, f"Segment {row.index} failed: {message}")
            return
        if await self._access.db(segments.spoken, job_id, row.index, self._owner, **values):
            self._sounds.unrecorded.discard(values["sound"])
            self._batches.add(len(row.text), values["samples"] / model.spec.sample_rate)

    # helpers

    async def _beat(self, stages: asyncio.Task[None]) -> None:
        """Ends the stages if the job is cancelled or lost."""
        await self._heart.run(lambda: self._service.models.get(self._request.model))
        self._stop.set()
        stages.cancel()

    def _figures(self, total: Counts, status: Mapping[str, Any]) -> dict[str, Any]:
        chapter = None if self._chapter is None else self._titles.get(self._chapter)
        rate = int(self._plan.get("rate") or 0)
        copies = 1 + self._request.options.read_along
        own = progress.figures(total, self._batches, chapter, rate, self._conversion, copies)
        machine = progress.machine()
        return {**own, "device": progress.device(status, machine["system"]), **machine}

    async def _change(self, message: str, **values: Any) -> None:
        await self._access.db(self._stores.jobs.change, self._row.id, self._owner, message, **values)
