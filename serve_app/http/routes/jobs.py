"""/v1/jobs: a book or a long text becomes audio in the background."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response, StreamingResponse

from deployments.contract.controls import parsed
from deployments.contract.errors import InvalidInput, NotFound
from serve_app.books.cover import MOST_BYTES
from serve_app.http.bodies import check, read_form, read_object
from serve_app.http.errors import too_large
from serve_app.http.job_events import events
from serve_app.http.job_schemas import JobBody, from_form
from serve_app.http.ranges import file_answers, file_response
from serve_app.http.routes.common import Shared, SharedJobs, charge, while_connected
from serve_app.http.schemas import inlined
from serve_app.jobs import sources
from serve_app.jobs.jobs import Jobs, Submission
from serve_app.jobs.models import JobRow
from serve_app.jobs.report import report

router = APIRouter(tags=["jobs"])

MAX_JSON = 4 * 2**20  # bytes; a longer text must be sent as a file
MAX_PART = 2**20  # bytes of a form's field
MEDIA_TYPES = {
    "m4b": "audio/mp4",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "opus": "audio/ogg",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "epub": "application/epub+zip",
}
_SCHEMA = inlined(JobBody)
_FILE = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "properties": {"file": _FILE, "cover": _FILE, **_SCHEMA["properties"]},
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": _FORM}, "application/json": {"schema": _SCHEMA}},
    }
}

_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}
_FILES = file_answers(*MEDIA_TYPES.values())


@router.post("/v1/jobs", status_code=202, openapi_extra=_BODY)
async def create_job(request: Request, service: Shared, jobs: SharedJobs, dry_run: bool = False) -> Response:
    """Starts a job from a form with a `file`, or from JSON with `input` or `script`.

    With `dry_run`, no job is created; the response lists the chapters that were found.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    cover = None
    if kind == "multipart/form-data":
        async with read_form(request, max_files=2, max_fields=64, max_part_size=MAX_PART) as form:
            upload, picture = form.get("file"), form.get("cover")
            fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
            fields.pop("cover", None)
            body = check(JobBody, from_form(fields))
            name, data = await _uploaded(upload, "file", service.settings.jobs.max_book_bytes)
            if picture is not None:
                _, cover = await _uploaded(picture, "cover", MOST_BYTES)
        if body.input is not None or body.script is not None:
            both = "input" if body.input is not None else "script"
            raise InvalidInput(f"Invalid '{both}': a form has its text in its 'file'.", param=both)
        controls: dict[str, Any] = body.model_extra or {}
        if controls and not dry_run:
            model = await service.models.get(body.model)
            controls = parsed(model.spec.controls, controls)
    else:
        found, _ = await read_object(request, MAX_JSON)
        body = check(JobBody, found, strict=True)
        name, data = _written(body)
        controls = body.model_extra or {}
    if dry_run:
        return JSONResponse(await jobs.preview(name, data))
    default = "mp3" if name in (sources.TEXT, sources.SCRIPT) else "m4b"
    asked = Submission(
        name,
        data,
        model=body.model,
        voice=body.voice,
        voices=body.voices,
        cover=cover,
        language=body.language,
        seed=body.seed,
        speed=body.speed,
        max_tokens=body.max_tokens,
        controls=controls,
        options=body.options(default),
    )
    submitted = jobs.submit(asked, charge=partial(charge, request))
    return await accepted(request, jobs, await while_connected(request, submitted))


async def accepted(request: Request, jobs: Jobs, row: JobRow) -> Response:
    """202 with the address of a job, below the application's route prefix."""
    (card,) = await jobs.cards([row])
    return JSONResponse(card, 202, {"location": f"{request.scope.get('root_path', '')}/v1/jobs/{row.id}"})


@router.get("/v1/jobs")
async def list_jobs(
    jobs: SharedJobs,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, Any]:
    """The newest first. `after` is the id of the last job of the page before."""
    rows = await asyncio.to_thread(jobs.stores.jobs.list, limit + 1, after)
    return {"object": "list", "data": await jobs.cards(rows[:limit]), "has_more": len(rows) > limit}


@router.post("/v1/jobs/clean")
async def clean_jobs(jobs: SharedJobs) -> dict[str, int]:
    """Deletes all finished jobs."""
    return {"deleted": await jobs.clean()}


@router.get("/v1/jobs/{job_id}")
async def get_job(job_id: str, jobs: SharedJobs) -> dict[str, Any]:
    return await jobs.card(job_id)


@router.delete("/v1/jobs/{job_id}")
async def delete_job(job_id: str, jobs: SharedJobs) -> dict[str, Any]:
    """Deletes a job in any state, with its files."""
    await jobs.delete(job_id)
    return {"id": job_id, "object": "job.deleted", "deleted": True}


@router.post("/v1/jobs/{job_id}/cancel")
async def cancel_job(job_id: str, jobs: SharedJobs) -> dict[str, Any]:
    """Cancels a job: at once, or within seconds if it is running."""
    row = await asyncio.to_thread(jobs.stores.jobs.cancel, job_id)
    return (await jobs.cards([row]))[0]


@router.get("/v1/jobs/{job_id}/events", response_class=StreamingResponse, responses=_EVENTS)
async def job_events(job_id: str, request: Request, jobs: SharedJobs) -> StreamingResponse:
    """Server-sent events: `state` and `progress` with the job, `log` with a line of its log.

    A stream ends with the job, or after a few minutes: `Last-Event-ID` continues the log.
    """
    await asyncio.to_thread(jobs.stores.jobs.get, job_id)
    last = request.headers.get("last-event-id", "")
    seen = int(last) if last.isascii() and last.isdecimal() and len(last) < 18 else 0
    headers = {"cache-control": "no-cache"}
    return StreamingResponse(events(jobs, job_id, seen), media_type="text/event-stream", headers=headers)


@router.get("/v1/jobs/{job_id}/log")
async def job_log(job_id: str, jobs: SharedJobs) -> dict[str, Any]:
    await asyncio.to_thread(jobs.stores.jobs.get, job_id)
    lines = await asyncio.to_thread(jobs.stores.jobs.lines, job_id)
    return {"object": "list", "data": [{"at": line.at, "message": line.message} for line in lines]}


@router.get("/v1/jobs/{job_id}/report")
async def job_report(job_id: str, jobs: SharedJobs) -> dict[str, Any]:
    """Per chapter, the segments requested and spoken; every segment that could not be spoken, with its text."""
    row = await asyncio.to_thread(jobs.stores.jobs.get, job_id)
    return await asyncio.to_thread(report, row, jobs.stores.segments)


@router.get("/v1/jobs/{job_id}/audio", response_class=Response, responses=_FILES)
async def job_audio(job_id: str, request: Request, jobs: SharedJobs) -> Response:
    """The main file, with ranges."""
    row = await asyncio.to_thread(jobs.stores.jobs.get, job_id)
    if not row.outputs:
        message = f"The job has no audio yet: it is {row.state}."
        raise NotFound(message, param="job_id", code="no_audio_yet")
    return await _file(request, jobs, row, row.outputs[0])


@router.get("/v1/jobs/{job_id}/files/{name}", response_class=Response, responses=_FILES)
async def job_file(job_id: str, name: str, request: Request, jobs: SharedJobs) -> Response:
    """One of the job's `outputs`, with ranges."""
    row = await asyncio.to_thread(jobs.stores.jobs.get, job_id)
    found = [output for output in row.outputs if output["name"] == name]
    if not found:
        raise NotFound("Invalid 'name': the job has no such file.", param="name", code="file_not_found")
    return await _file(request, jobs, row, found[0])


async def _uploaded(upload: object, param: str, most: int) -> tuple[str, bytes]:
    """The name and the bytes of a form's file. param: its field."""
    if upload is None:
        message = f"Missing required field '{param}'."
        raise InvalidInput(message, param=param, code="missing_required_parameter")
    if not isinstance(upload, UploadFile):
        raise InvalidInput(f"Invalid '{param}': must be an uploaded file.", param=param, code="invalid_type")
    data = await upload.read(most + 1)
    if len(data) > most:
        raise too_large(most, param)
    return PurePosixPath((upload.filename or "").replace("\\", "/")).name[-200:], data


def _written(body: JobBody) -> tuple[str, bytes]:
    """The text or the script of a JSON body, as a file."""
    if (body.input is None) == (body.script is None):
        message = "Exactly one of 'input' and 'script' is required, or a form with a 'file'."
        raise InvalidInput(message, param="input", code="missing_required_parameter")
    if body.input is not None:
        return sources.TEXT, body.input.encode()
    return sources.SCRIPT, json.dumps(body.script).encode()


async def _file(request: Request, jobs: Jobs, row: JobRow, output: dict[str, Any]) -> Response:
    kind = MEDIA_TYPES.get(output["format"], "application/octet-stream")
    return await stored_file(request, jobs, f"outputs/{row.id}/{output['name']}", kind, output["name"])


async def stored_file(request: Request, jobs: Jobs, key: str, kind: str, name: str) -> Response:
    """A file of the audio store. kind: its media type."""
    audio = jobs.stores.audio
    try:
        size = await asyncio.to_thread(audio.size, key)
        version = await asyncio.to_thread(audio.version, key)
    except FileNotFoundError:
        raise NotFound("The file no longer exists.", param="name", code="file_not_found") from None
    headers = {"content-disposition": f"inline; filename*=utf-8''{quote(name, safe='')}"}
    read = audio.ranges
    return file_response(
        request.headers, size, version, lambda begin, end: read(key, begin, end), kind, headers
    )
