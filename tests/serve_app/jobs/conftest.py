"""Jobs on the backend that speaks in tones, in both databases."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from serve_app.jobs import sources
from serve_app.jobs.access import Stores
from serve_app.jobs.audio_store import AudioStore
from serve_app.jobs.database import Database
from serve_app.jobs.jobs import Jobs, Submission
from serve_app.jobs.models import FINISHED, JobRow
from serve_app.jobs.request import JobOptions
from serve_app.jobs.runner import Runner
from serve_app.jobs.segments import SegmentStore
from serve_app.jobs.store import JobStore
from serve_app.service import Service

TEXT = (
    "The tea is cold. It rains again.\n\nNot today. Good morning to you! The harbour is old.\n\nA last line."
)


def _postgres_programs() -> Path | None:
    """The folder of Postgres' programs, which Debian does not put on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@dataclass
class Postgres:
    """A server of its own on loopback. It refuses to run as root, so root starts it as another user."""

    programs: Path
    folder: Path
    port: int
    user: str | None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://chorale@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *args: str) -> None:
        subprocess.run([str(self.programs / program), *args], check=True, capture_output=True, **self._as())

    def start(self) -> None:
        options = ("-D", str(self.folder), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.folder))
        command = [str(self.programs / "postgres"), *options]
        log = (self.folder.parent / "postgres.log").open("ab")
        self.process = None
        for _ in range(1200):
            if self.process is None or self.process.poll() is not None:
                # it ends at once while a killed child of the server before it still holds its memory
                self.process = subprocess.Popen(command, stdout=log, stderr=log, **self._as())
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("Postgres does not listen")

    def kill(self) -> None:
        """As a power cut does."""
        assert self.process is not None
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True)
        self.process.kill()
        self.process.wait()
        for child in children.stdout.split():
            try:
                os.kill(int(child), 9)
            except ProcessLookupError:
                continue

    def _as(self) -> dict[str, Any]:
        if self.user is None:
            return {"cwd": self.folder.parent}
        group = pwd.getpwnam(self.user).pw_gid
        return {"user": self.user, "group": group, "extra_groups": [], "cwd": self.folder.parent}


@contextmanager
def postgres_server(folder: Path) -> Iterator[Postgres]:
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("Postgres is not installed")
    user = None
    if os.geteuid() == 0:
        user = next((name for name in ("postgres", "nobody") if name in _users()), None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    data.mkdir()
    if user is not None:
        for path in (data, folder):
            shutil.chown(path, user)
        for parent in folder.parents:  # pytest's own are 700
            if parent.owner() == "root" and parent != Path("/") and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    server = Postgres(programs, data, port, user)
    server.run("initdb", "-D", str(data), "-U", "chorale", "-A", "trust", "-E", "UTF8", "--no-locale")
    server.start()
    try:
        yield server
    finally:
        assert server.process is not None
        if server.process.poll() is None:
            server.process.terminate()  # ends when the connections do
            try:
                server.process.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()


def _users() -> set[str]:
    return {entry.pw_name for entry in pwd.getpwall()}


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        opened = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        name = f"jobs_{time.time_ns()}"
        server.run("createdb", "-h", "127.0.0.1", "-p", str(server.port), "-U", "chorale", name)
        opened = Database(server.url.replace("/postgres", f"/{name}"))
    yield opened
    opened.close()


@pytest.fixture
def stores(database: Database, tmp_path: Path) -> Stores:
    return Stores(JobStore(database), SegmentStore(database), AudioStore(str(tmp_path / "audio")))


@pytest.fixture
def jobs(service: Service) -> Iterator[Jobs]:
    """The jobs of the tone service, in SQLite."""
    made = Jobs(service)
    yield made
    made.stores.jobs.database.close()


def submission(text: str = TEXT, **changes: Any) -> Submission:
    options = {"format": "wav", "loudness": None, "subtitles": False} | changes.pop("options", {})
    return Submission(
        sources.TEXT, text.encode(), **({"voice": "ada", "seed": 5} | changes), options=JobOptions(**options)
    )


@asynccontextmanager
async def running(jobs: Jobs, count: int = 1) -> AsyncIterator[list[Runner]]:
    """With runners for the jobs."""
    runners = [Runner(jobs.service, jobs.stores, jobs.service.settings.jobs) for _ in range(count)]
    tasks = [asyncio.create_task(runner.run()) for runner in runners]
    try:
        yield runners
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(jobs: Jobs, job_id: str, holds: Callable[[JobRow], bool]) -> JobRow:
    """The job as soon as `holds` is true of it."""
    while True:
        row = await asyncio.to_thread(jobs.stores.jobs.get, job_id)
        if holds(row):
            return row
        await asyncio.sleep(0.02)


async def finished(jobs: Jobs, job_id: str) -> JobRow:
    return await until(jobs, job_id, lambda row: row.state in FINISHED)
