"""`chorale book FILE -o OUT`: a book becomes an audiobook, in this process or by a service."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from deployments.contract.errors import ChoraleError, InvalidInput, NotFound, Unavailable
from serve_app.cli.jobs import Client, main_output
from serve_app.config.settings import Settings
from serve_app.jobs.jobs import Jobs, Submission, digest_of
from serve_app.jobs.models import FINISHED
from serve_app.jobs.runner import Runner

POLL_S = 0.5
PATIENCE_S = 120.0  # for a service that restarts
ENDED = ("done", "done_with_faults")


@dataclass(frozen=True, slots=True)
class Target:
    """Where the files go. out: the main one; the others are named after it."""

    out: Path

    def of(self, name: str, main: str) -> Path:
        """The path of the output `name` of a job whose main output is `main`."""
        if name == main:
            return self.out
        ending = name.rpartition(".")[2]
        stem, main_stem = name.rpartition(".")[0], main.rpartition(".")[0]
        return self.out.with_name(f"{self.out.stem if stem == main_stem else stem}.{ending}")


class Source(Protocol):
    """Where the job is worked on."""

    async def get(self) -> dict[str, Any]: ...

    async def save(self, output: dict[str, Any], path: Path) -> None: ...


class Remote:
    """A job of a service."""

    def __init__(self, client: Client, job_id: str) -> None:
        self._client, self._id = client, job_id

    async def get(self) -> dict[str, Any]:
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await asyncio.to_thread(self._client.get, self._id)
            except Unavailable:
                if time.monotonic() > give_up:
                    raise
                await asyncio.sleep(2 * POLL_S)

    async def save(self, output: dict[str, Any], path: Path) -> None:
        await asyncio.to_thread(self._client.download, output, path)


class Here:
    """A job in the data folder of this machine."""

    def __init__(self, jobs: Jobs, job_id: str) -> None:
        self._jobs, self._id = jobs, job_id

    async def get(self) -> dict[str, Any]:
        return await self._jobs.card(self._id)

    async def save(self, output: dict[str, Any], path: Path) -> None:
        await asyncio.to_thread(self._copy, f"outputs/{self._id}/{output['name']}", path)

    def _copy(self, key: str, path: Path) -> None:
        audio, part = self._jobs.stores.audio, path.with_name(f".{path.name}.part")
        try:
            with part.open("wb") as file:
                file.writelines(audio.ranges(key, 0, audio.size(key)))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def speak_here(settings: Settings, asked: Submission, target: Target, console: Console) -> dict[str, Any]:
    """Speaks the book in this process. Run again after any death, it goes on where it was.

    Returns the finished job. Raises ConfigError, InvalidInput, NotFound, and ChoraleError for a job that failed.
    """
    from serve_app.cli.speaker import DEFAULT_VOICE, Speaker

    with Speaker(settings, asked.model, slots=asked.options.bucket_size) as speaker:
        jobs = Jobs(speaker.service)
        voice = asked.voice or DEFAULT_VOICE

        async def spoken() -> dict[str, Any]:
            job_id = f"job_{digest_of(asked)[:24]}"
            await _submitted(jobs, _with(asked, voice), job_id)
            runner = asyncio.create_task(Runner(jobs.service, jobs.stores, settings.jobs, only=job_id).run())
            try:
                return await _followed(Here(jobs, job_id), target, console)
            finally:
                runner.cancel()
                await asyncio.gather(runner, return_exceptions=True)

        try:
            return speaker.run(spoken())
        finally:
            jobs.stores.jobs.database.close()


async def _submitted(jobs: Jobs, asked: Submission, job_id: str) -> None:
    """Submits the job, unless it exists and can go on. One that failed or was cancelled is made again."""
    with contextlib.suppress(NotFound):
        row = await asyncio.to_thread(jobs.stores.jobs.get, job_id)
        if row.state not in ("failed", "cancelled"):
            return
        await jobs.delete(job_id)
    await jobs.submit(asked, job_id)


def _with(asked: Submission, voice: str) -> Submission:
    from dataclasses import replace

    return replace(asked, voice=voice)


def speak_there(server: str, file: Path, fields: dict[str, str], target: Target, console: Console) -> dict[str, Any]:
    """A service speaks the book. A job of this book that is not finished is followed instead of a new one.

    Returns the finished job. Raises the service's errors, Unavailable, and ChoraleError for a job that failed.
    """
    with Client(server) as client:
        mark = target.out.with_name(f".{target.out.name}.job")
        job = _marked(client, mark, fields) or client.submit(file, fields)
        mark.write_text(f"{job['id']}\n{sorted(fields.items())}\n")
        console.print(f"job {job['id']}", highlight=False)
        finished = asyncio.run(_followed(Remote(client, job["id"]), target, console))
        mark.unlink(missing_ok=True)
        return finished


def _marked(client: Client, mark: Path, fields: dict[str, str]) -> dict[str, Any] | None:
    """The job that an earlier call with the same options submitted for the same file."""
    try:
        job_id, options = mark.read_text().splitlines()
        job = client.get(job_id)
    except (OSError, ValueError, NotFound):
        return None
    usable = options == str(sorted(fields.items())) and job["state"] not in ("failed", "cancelled")
    return job if usable else None


async def _followed(source: Source, target: Target, console: Console) -> dict[str, Any]:
    """Shows the progress until the job ends, and saves its files."""
    with _bar(console) as bar:
        task = bar.add_task("", total=100.0, left="")
        while True:
            job = await source.get()
            progress = job["progress"]
            left = f"{progress['remaining']} left" if progress["remaining"] else ""
            about = job["paused"] or progress["chapter"] or job["state"]
            bar.update(task, completed=progress["percent"], description=about[:60], left=left)
            if job["state"] in FINISHED:
                break
            await asyncio.sleep(POLL_S)
    if job["state"] not in ENDED:
        said = job["error"]["message"] if job["error"] else f"The job was {job['state']}."
        raise ChoraleError(said, code=job["error"]["code"] if job["error"] else None)
    main = main_output(job)["name"]
    for output in job["outputs"]:
        await source.save(output, target.of(output["name"], main))
    return job


@contextlib.contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=console, transient=True) as bar:
        yield bar


def format_of(out: Path) -> str:
    """The format of an output by its ending. Raises InvalidInput (param "out")."""
    from serve_app.books.audiobook import FORMATS

    format = out.suffix.lower().removeprefix(".")
    if format not in FORMATS:
        endings = ", ".join(f".{name}" for name in FORMATS)
        raise InvalidInput(f"--out {out}: must end in one of {endings}", param="out")
    return format
