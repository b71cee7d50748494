"""What goes wrong while a job runs: nothing is lost, and the sound is that of an undisturbed run."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import pytest

from deployments.contract.errors import SynthesisFailed
from serve_app.config.settings import Settings
from serve_app.jobs.access import Stores
from serve_app.jobs.audio_store import AudioStore
from serve_app.jobs.database import Database, DatabaseAway
from serve_app.jobs.jobs import Jobs, open_stores
from serve_app.jobs.models import JobRow
from serve_app.jobs.report import report
from serve_app.jobs.segments import SegmentStore
from serve_app.jobs.store import JobStore
from serve_app.service import Service
from tests.serve_app.conftest import ToneBackend, alone
from tests.serve_app.jobs.conftest import Postgres, finished, postgres_server, running, submission, until

P = ParamSpec("P")
R = TypeVar("R")
BOOK = " ".join(f"This is sentence number {n} of the whole book." for n in range(40))


def audio_of(jobs: Jobs, row: JobRow) -> bytes:
    assert row.state == "done", (row.state, row.error, jobs.stores.jobs.lines(row.id))
    return jobs.stores.audio.get(f"outputs/{row.id}/{row.outputs[0]['name']}")


async def undisturbed(jobs: Jobs, tmp_path: Path, text: str = BOOK) -> bytes:
    """The file of the same book from a database and an audio store of its own."""
    other = Jobs(
        jobs.service, open_stores(Settings.from_args({"data_dir": str(tmp_path / "undisturbed")}, {}))
    )
    row = await other.submit(submission(text))
    async with running(other):
        audio = audio_of(other, await finished(other, row.id))
    other.stores.jobs.database.close()
    return audio


def files_below(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and not path.name.startswith("jobs.db")]


def done(jobs: Jobs, job_id: str) -> int:
    return sum(counts.spoken for counts in jobs.stores.segments.counts(job_id).values())


async def some_spoken(jobs: Jobs, job_id: str, least: int) -> int:
    while (count := await asyncio.to_thread(done, jobs, job_id)) < least:
        await asyncio.sleep(0.01)
    return count


async def test_a_job_goes_on_where_its_runner_stopped(
    jobs: Jobs, backend: ToneBackend, tmp_path: Path
) -> None:
    backend.delay = 0.01
    row = await jobs.submit(submission(BOOK))
    async with running(jobs):
        await some_spoken(jobs, row.id, 5)
    stopped = await asyncio.to_thread(jobs.stores.jobs.get, row.id)
    assert stopped.owner is None and stopped.state == "generating"
    kept = await asyncio.to_thread(done, jobs, row.id)
    backend.started.clear()
    async with running(jobs):
        audio = audio_of(jobs, await finished(jobs, row.id))
    again = len({work for work, *_ in backend.started})
    assert 40 - kept - 6 <= again <= 40 - kept, "a sound may be stored and not yet recorded"
    assert audio == await undisturbed(jobs, tmp_path)


async def test_two_runners_share_the_jobs_and_speak_each_segment_once(
    jobs: Jobs, backend: ToneBackend
) -> None:
    backend.delay = 0.002
    texts = [BOOK.replace("whole", f"{word} whole") for word in ("first", "second", "third")]
    rows = [await jobs.submit(submission(text)) for text in texts]
    async with running(jobs, count=2):
        for row in rows:
            assert (await finished(jobs, row.id)).state == "done"
    assert len({work for work, *_ in backend.started}) == 120


async def test_the_same_book_again_costs_nothing(jobs: Jobs, backend: ToneBackend) -> None:
    first = await jobs.submit(submission(BOOK))
    async with running(jobs):
        audio = audio_of(jobs, await finished(jobs, first.id))
        backend.started.clear()
        second = await jobs.submit(submission(BOOK))
        assert audio_of(jobs, await finished(jobs, second.id)) == audio
        assert backend.started == []
        other = await jobs.submit(submission(BOOK, seed=6))
        assert audio_of(jobs, await finished(jobs, other.id)) != audio
        assert len({work for work, *_ in backend.started}) == 40


async def test_a_job_that_is_cancelled_while_it_speaks_ends(jobs: Jobs, backend: ToneBackend) -> None:
    backend.delay = 0.02
    row = await jobs.submit(submission(BOOK))
    async with running(jobs):
        await some_spoken(jobs, row.id, 1)
        await asyncio.to_thread(jobs.stores.jobs.cancel, row.id)
        assert (await finished(jobs, row.id)).state == "cancelled"
        assert 0 < await asyncio.to_thread(done, jobs, row.id) < 40
        while backend.active:
            await asyncio.sleep(0.01)


async def test_a_job_that_is_deleted_while_it_speaks_leaves_no_file(jobs: Jobs, backend: ToneBackend) -> None:
    backend.delay = 0.02
    row = await jobs.submit(submission(BOOK))
    async with running(jobs):
        await some_spoken(jobs, row.id, 3)
        await jobs.delete(row.id)
        while backend.active:
            await asyncio.sleep(0.01)
        root = Path(jobs.service.settings.jobs_audio)
        while files_below(root):
            await asyncio.sleep(0.05)


async def test_a_sound_that_is_gone_is_spoken_again(jobs: Jobs, backend: ToneBackend, tmp_path: Path) -> None:
    row = await jobs.submit(submission(BOOK))
    async with running(jobs):
        audio = audio_of(jobs, await finished(jobs, row.id))
        (segment,) = await asyncio.to_thread(lambda: jobs.stores.segments.page(row.id, after=6, limit=1))
        jobs.stores.audio.delete_sound(segment.sound or "")
        backend.started.clear()
        await asyncio.to_thread(lambda: jobs.stores.segments.redo(row.id, 20, {"seed": 5}))
        assert audio_of(jobs, await finished(jobs, row.id)) == audio
        assert len({work for work, *_ in backend.started}) == 1, "the twentieth one is still there"


async def test_a_voice_that_is_deleted_stays_with_its_job(
    jobs: Jobs, service: Service, backend: ToneBackend, make_wav, tmp_path: Path
) -> None:
    await service.add_voice("carol", make_wav(pitch=300.0), transcript="la")
    row = await jobs.submit(submission(BOOK, voice="carol"))
    backend.delay = 0.01
    async with running(jobs):
        await some_spoken(jobs, row.id, 2)
        await service.delete_voice("carol")
        audio = audio_of(jobs, await finished(jobs, row.id))
    await service.add_voice("carol", make_wav(pitch=300.0), transcript="la")
    other = Jobs(service, open_stores(Settings.from_args({"data_dir": str(tmp_path / "other")}, {})))
    same = await other.submit(submission(BOOK, voice="carol"))
    async with running(other):
        assert audio_of(other, await finished(other, same.id)) == audio
    other.stores.jobs.database.close()


async def test_a_job_whose_model_is_unloaded_waits_for_it_and_says_so(
    jobs: Jobs, service: Service, backend: ToneBackend, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("serve_app.jobs.work.PAUSE_S", 0.2)
    backend.delay = 0.01
    row = await jobs.submit(submission(BOOK))
    model = await service.models.get(None)
    async with running(jobs):
        await some_spoken(jobs, row.id, 3)
        service.models.expect([], "chorale-small")
        waiting = await until(jobs, row.id, lambda row: row.paused is not None)
        assert waiting.state == "generating" and "waits for its model" in (waiting.paused or "")
        service.models.expect([model.name], model.name)
        waiting = await until(jobs, row.id, lambda row: "is starting" in (row.paused or ""))
        service.models.put(model)
        end = await finished(jobs, row.id)
        audio = audio_of(jobs, end)
        assert end.paused is None
    assert any("Paused: The job waits" in line.message for line in jobs.stores.jobs.lines(row.id))
    assert audio == await undisturbed(jobs, tmp_path)


async def test_a_paused_job_leaves_its_place_to_the_others(
    jobs: Jobs, service: Service, monkeypatch, tmp_path: Path
) -> None:
    jobs.service.settings = jobs.service.settings.model_copy(
        update={"jobs": jobs.service.settings.jobs.model_copy(update={"concurrency": 1})}
    )
    row = await jobs.submit(submission())
    other = await jobs.submit(submission("Another text."))
    await asyncio.to_thread(jobs.stores.jobs.set_request, row.id, lambda request: request | {"model": "gone"})
    async with running(jobs):
        assert (await finished(jobs, other.id)).state == "done"
        assert "does not exist" in (
            (await until(jobs, row.id, lambda row: row.paused is not None)).paused or ""
        )


class Flaky(ToneBackend):
    """Breaks `times` times at the segments with a word."""

    word, times = b"", 0

    async def generate(self, request, *, id, priority, admitted):
        if self.word and self.word in bytes(request.segment.token_ids.astype(np.uint8)) and self.times:
            self.times -= 1
            raise SynthesisFailed("The model broke.")
        async for run in super().generate(request, id=id, priority=priority, admitted=admitted):
            yield run


@pytest.mark.parametrize("times", [2, 99])
async def test_a_segment_that_fails_is_tried_again_and_then_named(
    shipped: Path, tmp_path: Path, times: int
) -> None:
    backend = Flaky()
    backend.word, backend.times = b"number 7 ", times
    settings = Settings.from_args({"data_dir": str(tmp_path / "data")}, {})
    jobs = Jobs(Service(settings, alone(backend), shipped))
    row = await jobs.submit(submission(BOOK))
    async with running(jobs):
        row = await finished(jobs, row.id)
    about = report(row, jobs.stores.segments)
    if times == 2:
        assert row.state == "done" and about["complete"] and about["faults"] == []
    else:
        assert row.state == "done_with_faults" and not about["complete"]
        assert about["faults"] == [
            {
                "index": 7,
                "chapter": 0,
                "text": "This is sentence number 7 of the whole book.",
                "error": "The model broke.",
            }
        ]
        assert (about["spoken"], about["faulty"], about["segments"]) == (39, 1, 40)
    jobs.stores.jobs.database.close()


async def test_a_text_that_the_model_cannot_read_fails_with_the_reason(jobs: Jobs) -> None:
    row = await jobs.submit(submission("我爱茶。"))
    async with running(jobs):
        row = await finished(jobs, row.id)
    assert (row.state, row.error) == ("failed", "Invalid 'input': it must be English.")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of a few hundred kilobytes. Mounting needs a privilege that not every machine gives."""
    folder.mkdir(parents=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, f"size={size}".encode()):
        pytest.skip(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        libc.umount2(str(folder).encode(), 2)


async def test_a_full_disk_pauses_a_job_until_there_is_room(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.jobs.work.PAUSE_S", 0.2)
    disk = tmp_path / "disk"
    with small_disk(disk, "16m"):
        stores = Stores(jobs.stores.jobs, jobs.stores.segments, AudioStore(str(disk)))
        small = Jobs(jobs.service, stores)
        row = await small.submit(submission(BOOK))
        ballast = disk / "ballast"
        with ballast.open("wb") as file:
            file.write(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - 200_000))
        async with running(small):
            waiting = await until(small, row.id, lambda row: row.paused is not None)
            assert "full" in (waiting.paused or "") and "when there is space" in (waiting.paused or "")
            kept = await asyncio.to_thread(done, small, row.id)
            assert kept < 40
            ballast.write_bytes(b"")
            end = await finished(small, row.id)
            audio = audio_of(small, end)
            assert end.paused is None
        assert not [
            path
            for path in disk.rglob("*")
            if path.is_file() and (".part" in path.name or "scratch" in path.parts)
        ]
    assert audio == await undisturbed(jobs, tmp_path)


@pytest.mark.slow
async def test_a_database_that_is_killed_twice_and_away_for_ten_seconds_loses_nothing(
    service: Service, backend: ToneBackend, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with postgres_server(tmp_path_factory.mktemp("away")) as server:
        await _away(server, service, backend, tmp_path)


async def _once_reachable(call: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
    while True:
        try:
            return await call(*args, **kwargs)
        except DatabaseAway:
            await asyncio.sleep(0.1)


async def _away(server: Postgres, service: Service, backend: ToneBackend, tmp_path: Path) -> None:
    database = Database(server.url)
    stores = Stores(JobStore(database), SegmentStore(database), AudioStore(str(tmp_path / "audio")))
    jobs = Jobs(service, stores)
    row = await jobs.submit(submission(BOOK))
    backend.delay = 0.01
    async with running(jobs):
        for spoken, away_s in ((3, 10), (6, 1)):
            await _once_reachable(some_spoken, jobs, row.id, spoken)
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(away_s)
            await asyncio.to_thread(server.start)
        audio = audio_of(jobs, await _once_reachable(finished, jobs, row.id))
    database.close()
    backend.delay = 0.0
    assert audio == await undisturbed(jobs, tmp_path)
