"""Jobs whose files are in an object store: fsspec's own store in memory stands for any that is not a folder."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import soundfile

from serve_app.jobs.access import Stores
from serve_app.jobs.audio_store import AudioStore
from serve_app.jobs.database import Database
from serve_app.jobs.jobs import Jobs
from serve_app.jobs.segments import SegmentStore
from serve_app.jobs.store import JobStore
from serve_app.service import Service
from tests.serve_app.conftest import ToneBackend
from tests.serve_app.jobs.conftest import finished, running, submission


@pytest.fixture
def root() -> Iterator[str]:
    root = f"memory://jobs-{secrets.token_hex(4)}"
    yield root
    files, path = fsspec.core.url_to_fs(root)
    if files.exists(path):
        files.rm(path, recursive=True)


@pytest.fixture
def remote(service: Service, root: str, tmp_path: Path) -> Iterator[Jobs]:
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    yield Jobs(service, Stores(JobStore(database), SegmentStore(database), AudioStore(root)))
    database.close()


def kept(root: str) -> list[str]:
    files, path = fsspec.core.url_to_fs(root)
    return files.find(path) if files.exists(path) else []


async def test_a_job_in_an_object_store_is_that_in_a_folder(jobs: Jobs, remote: Jobs) -> None:
    sounds = []
    for each in (jobs, remote):
        row = await each.submit(submission())
        async with running(each):
            row = await finished(each, row.id)
        assert row.state == "done", (row.error, each.stores.jobs.lines(row.id))
        data = each.stores.audio.get(f"outputs/{row.id}/{row.outputs[0]['name']}")
        assert len(data) == row.outputs[0]["bytes"]
        sounds.append(soundfile.read(io.BytesIO(data), dtype="int16")[0].tolist())
    assert sounds[0] == sounds[1]


async def test_a_sound_in_an_object_store_is_not_spoken_again(remote: Jobs, backend: ToneBackend) -> None:
    async with running(remote):
        first = await remote.submit(submission())
        assert (await finished(remote, first.id)).state == "done"
        backend.started.clear()
        again = await remote.submit(submission())
        assert (await finished(remote, again.id)).state == "done"
    assert backend.started == []


async def test_a_deleted_job_leaves_nothing_in_an_object_store(remote: Jobs, root: str) -> None:
    row = await remote.submit(submission())
    async with running(remote):
        await finished(remote, row.id)
    assert [name for name in kept(root) if "/sounds/" in name] and [n for n in kept(root) if "/outputs/" in n]
    await remote.delete(row.id)
    assert kept(root) == []
