"""Files that no job has: left by processes that died, and deleted by the next runner."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

from serve_app.jobs.access import Stores
from serve_app.jobs.jobs import Jobs
from serve_app.jobs.models import JobRow
from serve_app.jobs.runner import Runner
from serve_app.jobs.store import new_id
from serve_app.jobs.sweep import SKEW_S, SUBMITTING_S, sweep
from tests.serve_app.conftest import RATE, ToneBackend
from tests.serve_app.jobs.conftest import finished, running, submission, until

SOUND = np.zeros(1000, np.float32)
KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from serve_app.config.settings import Settings
from serve_app.jobs.jobs import Jobs
from serve_app.jobs.runner import Runner
from serve_app.jobs.segments import SegmentStore
from serve_app.service import Service
from tests.serve_app.conftest import ToneBackend, alone
from tests.serve_app.jobs.conftest import submission

def die(*args, **values):
    os.kill(os.getpid(), signal.SIGKILL)

async def main(data, shipped):
    SegmentStore.spoken = die
    settings = Settings.from_args({"data_dir": data}, {})
    jobs = Jobs(Service(settings, alone(ToneBackend()), Path(shipped)))
    await jobs.submit(submission())
    await Runner(jobs.service, jobs.stores, settings.jobs).run()

asyncio.run(main(*sys.argv[1:]))
"""


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def files_below(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def sounds_of(jobs: Jobs) -> list[Path]:
    return sorted(Path(jobs.service.settings.jobs_audio).glob("sounds/*/*.flac"))


async def test_a_sound_that_a_killed_runner_did_not_record_goes_after_its_job(
    jobs: Jobs, shipped: Path, tmp_path: Path
) -> None:
    script = [sys.executable, "-c", KILLED, str(tmp_path / "data"), str(shipped)]
    died = await asyncio.to_thread(subprocess.run, script, capture_output=True, timeout=120)
    assert died.returncode == -signal.SIGKILL, died.stderr
    (row,) = await asyncio.to_thread(jobs.stores.jobs.list, 2)
    orphans, segments = sounds_of(jobs), list(jobs.stores.segments.all(row.id))
    assert orphans and not any(each.sound for each in segments)
    await jobs.delete(row.id)
    assert sounds_of(jobs) == orphans
    for orphan in orphans:
        age(orphan, 2 * SKEW_S)
    async with running(jobs):
        while sounds_of(jobs):
            await asyncio.sleep(0.02)


async def test_nothing_of_a_job_in_progress_is_deleted(jobs: Jobs, backend: ToneBackend) -> None:
    backend.delay = 0.01
    row = await jobs.submit(submission())
    async with running(jobs):
        await until(jobs, row.id, lambda row: row.state == "generating")
    with jobs.stores.jobs.database.transaction() as session:
        session.execute(update(JobRow).values(started_at=time.time() - 10 * SKEW_S))
    unrecorded = "ab" + 31 * "00"
    jobs.stores.audio.put_sound(unrecorded, SOUND, RATE)
    for path in sounds_of(jobs):
        age(path, 5 * SKEW_S)
    root = Path(jobs.service.settings.jobs_audio)
    scratch = jobs.stores.audio.scratch(row.id) / "draft"
    scratch.write_bytes(b"x")
    for path in [scratch, *files_below(root / "uploads")]:
        age(path, 2 * SUBMITTING_S)
    kept = files_below(root)
    assert len(kept) > 3
    assert sweep(jobs.stores, threading.Event()) == 0
    assert files_below(root) == kept
    backend.delay = 0.0
    async with running(jobs):
        assert (await finished(jobs, row.id)).state == "done"
    recorded = {each.sound for each in jobs.stores.segments.all(row.id)}
    assert sweep(jobs.stores, threading.Event()) == 1
    assert {path.stem for path in sounds_of(jobs)} == recorded


def test_only_old_files_that_no_job_has_are_deleted(stores: Stores, tmp_path: Path) -> None:
    audio, root = stores.audio, tmp_path / "audio"
    audio.put_sound("cd" + 31 * "11", SOUND, RATE)
    for key in (
        "uploads/job_old/source",
        "uploads/job_new/source",
        "outputs/job_old/a.m4b",
        "sounds/cd/.part-1",
    ):
        audio.put(key, b"x")
    assert sweep(stores, threading.Event()) == 0
    for key in ("uploads/job_old/source", "outputs/job_old/a.m4b", "sounds/cd/.part-1"):
        age(root / key, 2 * SUBMITTING_S)
    stop = threading.Event()
    stop.set()
    assert sweep(stores, stop) == 0
    assert sweep(stores, threading.Event()) == 3
    left = [str(path.relative_to(root)) for path in files_below(root)]
    assert left == [f"sounds/cd/cd{31 * '11'}.flac", "uploads/job_new/source"]


async def test_a_runner_of_one_job_leaves_the_files_of_other_databases(jobs: Jobs) -> None:
    row = await jobs.submit(submission())
    kept = Path(jobs.service.settings.jobs_audio) / "outputs" / new_id() / "book.m4b"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x")
    age(kept, 2 * SUBMITTING_S)
    runner = Runner(jobs.service, jobs.stores, jobs.service.settings.jobs, only=row.id)
    task = asyncio.create_task(runner.run())
    await finished(jobs, row.id)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert kept.exists()


async def test_a_job_that_was_begun_again_is_not_cleaned(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    row = await jobs.submit(submission())
    async with running(jobs):
        await finished(jobs, row.id)
    listed = jobs.stores.jobs.finished()
    await jobs.redo(row.id, 0, {"seed": 9})
    monkeypatch.setattr(jobs.stores.jobs, "finished", lambda: listed)
    assert await jobs.clean() == 0
    assert (await asyncio.to_thread(jobs.stores.jobs.get, row.id)).state == "generating"
