"""`chorale book FILE -o OUT`: a book becomes an audiobook, in this process or by a service."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fastapi.exceptions import RequestValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from deployments.assembly import load_family
from deployments.contract.controls import parsed
from deployments.contract.errors import ChoraleError, InvalidInput, NotFound, Unavailable, printable
from serve_app.books.audiobook import FORMATS
from serve_app.cli.jobs import Client, main_output, name_of
from serve_app.config.settings import Settings
from serve_app.http.bodies import check
from serve_app.http.errors import to_http
from serve_app.http.job_schemas import JobBody, from_form
from serve_app.jobs.jobs import Jobs, Submission, digest_of
from serve_app.jobs.models import FINISHED
from serve_app.jobs.outputs import READ_ALONG
from serve_app.jobs.runner import Runner

R = TypeVar("R")
POLL_S = 0.5
PATIENCE_S = 120.0  # while a service restarts
ENDED = ("done", "done_with_faults")
DEFAULT_VOICE = "alloy"  # OpenAI's first name, which always maps to a shipped voice


@dataclass(frozen=True, slots=True)
class Wanted:
    """A book to speak. out: the main file; the others are named after it.

    fields: of the form of POST /v1/jobs; cover: a picture that replaces the book's.
    """

    file: Path
    out: Path
    fields: dict[str, str]
    controls: dict[str, str]
    cover: Path | None = None

    @classmethod
    def of(cls, file: Path, out: Path, options: Mapping[str, Any], controls: dict[str, str]) -> Wanted:
        """options: as on the command line. Raises InvalidInput (param "out" or "chapters")."""
        format = out.suffix.lower().removeprefix(".")
        if format not in FORMATS:
            endings = ", ".join(f".{name}" for name in FORMATS)
            raise InvalidInput(f"--out {out}: must end in one of {endings}", param="out")
        if out.is_dir():
            raise InvalidInput(f"--out {out}: is a folder", param="out")
        if options.get("read_along") and out.with_name(f"{out.stem}{READ_ALONG}").resolve() == file.resolve():
            raise InvalidInput(f"--out {out}: the read-along would replace {file}", param="out")
        given = {name: str(value) for name, value in options.items() if value is not None}
        given.pop("cover", None)
        if "chapters" in given:
            given["chapters"] = json.dumps(indices(given["chapters"]))
        return cls(
            file, out, {"voice": DEFAULT_VOICE, "format": format} | given, controls, options.get("cover")
        )

    def submission(self, controls: Mapping[str, object]) -> Submission:
        """controls: those of the command line, checked by the model. Raises InvalidInput and OSError."""
        try:
            body = check(JobBody, from_form(self.fields))
        except RequestValidationError as error:
            said = to_http(error)
            raise InvalidInput(said.message, param=said.param, code=said.code) from None
        return Submission(
            self.file.name,
            self.file.read_bytes(),
            model=body.model,
            voice=body.voice,
            language=body.language,
            seed=body.seed,
            speed=body.speed,
            controls=controls,
            cover=self.cover and self.cover.read_bytes(),
            options=body.options("m4b"),
        )

    def path_of(self, name: str, main: str) -> Path:
        """The path of the output `name` of a job whose main output is `main`."""
        if name == main:
            return self.out
        stem = Path(main).stem
        return self.out.with_name(self.out.stem + name.removeprefix(stem) if name.startswith(stem) else name)


def indices(text: str) -> list[int]:
    """0,2-4 -> [0, 2, 3, 4]. Raises InvalidInput (param "chapters")."""
    found: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?", part)
        if ends is None:
            raise InvalidInput(
                f"--chapters {printable(text)}: must be indices such as 0,2-5", param="chapters"
            )
        found += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    return found


def summary(job: Mapping[str, Any], wanted: Wanted) -> Iterator[str]:
    """What was written, for people."""
    main = name_of(main_output(job))
    for output in job["outputs"]:
        yield f"{wanted.path_of(name_of(output), main)}  {output['bytes']:,} bytes"
    progress = job["progress"]
    yield f"{progress['segments']} segments, {progress['audio_seconds']:.0f} s of speech in {progress['elapsed']}"
    if job["faults"]:
        yield f"{job['faults']} segments could not be spoken: `chorale jobs show {job['id']}`"
    yield from job["warnings"]


class Source(Protocol):
    """Where the work on the job is done."""

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


def speak_here(settings: Settings, wanted: Wanted, console: Console) -> dict[str, Any]:
    """Speaks the book in this process. The same call continues after any death.

    Returns the finished job. Raises ConfigError, InvalidInput, NotFound, and ChoraleError for a job that failed.
    """
    from serve_app.cli.speaker import Speaker

    model = settings.name(wanted.fields.get("model"))
    controls = parsed(load_family(settings.options(model)).spec.controls, wanted.controls)
    asked = wanted.submission(controls)  # an invalid one is rejected before the weights are loaded
    with Speaker(settings, model, slots=asked.options.bucket_size) as speaker:
        jobs = Jobs(speaker.service)

        async def spoken() -> dict[str, Any]:
            job_id = f"job_{digest_of(asked)[:24]}"
            await _submitted(jobs, asked, job_id)
            runner = asyncio.create_task(Runner(jobs.service, jobs.stores, settings.jobs, only=job_id).run())
            return await _beside(runner, _followed(Here(jobs, job_id), wanted, console))

        try:
            return speaker.run(spoken())
        finally:
            jobs.stores.jobs.database.close()


async def _beside(runner: asyncio.Task[None], followed: Coroutine[Any, Any, R]) -> R:
    """The result of `followed`. Raises the runner's error if that ends first. Ends both."""
    following = asyncio.create_task(followed)
    try:
        await asyncio.wait({runner, following}, return_when=asyncio.FIRST_COMPLETED)
        if not following.done():
            await runner
        return await following
    finally:
        for task in (runner, following):
            task.cancel()
        await asyncio.gather(runner, following, return_exceptions=True)


async def _submitted(jobs: Jobs, asked: Submission, job_id: str) -> None:
    """Submits the job, unless it exists and can continue. One that failed or was cancelled is submitted again."""
    with contextlib.suppress(NotFound):
        row = await asyncio.to_thread(jobs.stores.jobs.get, job_id)
        if row.state not in ("failed", "cancelled"):
            return
        await jobs.delete(job_id)
    await jobs.submit(asked, job_id)


def speak_there(server: str, wanted: Wanted, console: Console) -> dict[str, Any]:
    """A service speaks the book. The same call again follows the job that it started before.

    Returns the finished job. Raises the service's errors, Unavailable, and ChoraleError for a job that failed.
    """
    fields = wanted.fields | wanted.controls
    files = [path for path in (wanted.file, wanted.cover) if path is not None]
    known = [[str(path.absolute()), path.stat().st_mtime] for path in files]
    asked = json.dumps([known, fields], sort_keys=True)
    mark = wanted.out.with_name(f".{wanted.out.name}.job")
    with Client(server) as client:
        job = _marked(client, mark, asked) or client.submit(wanted.file, fields, wanted.cover)
        mark.write_text(f"{job['id']}\n{asked}\n")
        console.print(f"job {job['id']}", highlight=False)
        finished = asyncio.run(_followed(Remote(client, job["id"]), wanted, console))
    mark.unlink(missing_ok=True)
    return finished


def _marked(client: Client, mark: Path, asked: str) -> dict[str, Any] | None:
    """The job that an earlier call submitted for the same file with the same options."""
    try:
        job_id, options = mark.read_text().splitlines()
        job = client.get(job_id)
    except (OSError, ValueError, NotFound):
        return None
    return job if options == asked and job["state"] not in ("failed", "cancelled") else None


async def _followed(source: Source, wanted: Wanted, console: Console) -> dict[str, Any]:
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
    main = name_of(main_output(job))
    for output in job["outputs"]:
        await source.save(output, wanted.path_of(name_of(output), main))
    return job


@contextlib.contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield bar
