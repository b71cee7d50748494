"""What the work on a job does when something else breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serve_app.config.settings import Settings
from serve_app.jobs.database import DatabaseAway
from serve_app.jobs.jobs import Jobs
from serve_app.jobs.models import SegmentRow
from serve_app.service import Service
from tests.serve_app.conftest import ToneBackend, alone
from tests.serve_app.jobs.conftest import finished, running, submission
from tests.serve_app.jobs.test_faults import BOOK, Flaky, some_spoken


async def test_a_job_without_any_sound_fails_with_the_reason(shipped: Path, tmp_path: Path) -> None:
    backend = Flaky()
    backend.word, backend.times = b"tea", 99
    jobs = Jobs(
        Service(Settings.from_args({"data_dir": str(tmp_path / "data")}, {}), alone(backend), shipped)
    )
    row = await jobs.submit(submission("The tea is cold. No more tea."))
    async with running(jobs):
        row = await finished(jobs, row.id)
    assert (row.state, row.code) == ("failed", "synthesis_failed")
    assert row.error == "No segment could be spoken. The model broke."
    jobs.stores.jobs.database.close()


async def test_a_database_that_is_away_while_the_files_are_written_does_not_fail_the_job(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.jobs.work.PAUSE_S", 0.2)
    read, left = jobs.stores.segments.all, [1]

    def away_once(*args: Any, **options: Any) -> Iterator[SegmentRow]:
        if left:
            left.pop()
            raise DatabaseAway("The database of jobs does not answer.")
        yield from read(*args, **options)

    monkeypatch.setattr(jobs.stores.segments, "all", away_once)
    row = await jobs.submit(submission())
    async with running(jobs):
        row = await finished(jobs, row.id)
    assert (row.state, row.paused, left) == ("done", None, [])
    assert any("Paused: The database" in line.message for line in jobs.stores.jobs.lines(row.id))


async def test_a_status_that_breaks_does_not_stop_the_heartbeats(
    jobs: Jobs, backend: ToneBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> dict[str, Any]:
        raise RuntimeError("no driver")

    monkeypatch.setattr(backend, "status", broken)
    backend.delay = 0.05
    row = await jobs.submit(submission(BOOK))
    async with running(jobs):
        await some_spoken(jobs, row.id, 1)
        await asyncio.to_thread(jobs.stores.jobs.cancel, row.id)
        assert (await finished(jobs, row.id)).state == "cancelled"
