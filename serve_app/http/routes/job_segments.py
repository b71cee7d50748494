"""/v1/jobs/{id}/segments: what a job says, one segment at a time."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from deployments.contract.errors import InvalidInput, NotFound
from serve_app.http.bodies import check, read_object
from serve_app.http.job_schemas import SegmentBody
from serve_app.http.ranges import file_answers
from serve_app.http.routes.common import SharedJobs
from serve_app.http.routes.jobs import MAX_PART, accepted, stored_file
from serve_app.http.schemas import inlined
from serve_app.jobs.audio_store import sound_key
from serve_app.jobs.models import SegmentRow
from serve_app.jobs.request import JobRequest, stored

router = APIRouter(tags=["jobs"])

_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": inlined(SegmentBody)}}}}


@router.get("/v1/jobs/{job_id}/segments")
async def list_segments(
    job_id: str,
    jobs: SharedJobs,
    chapter: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    after: Annotated[int, Query(ge=-1, le=2**31 - 1)] = -1,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    flagged: bool = False,
) -> dict[str, Any]:
    """The segments in order, after the index `after`. flagged: only those that failed, were retried or cut off."""
    row = await asyncio.to_thread(jobs.stores.jobs.get, job_id)
    page = jobs.stores.segments.page
    found = await asyncio.to_thread(
        page, job_id, chapter=chapter, after=after, limit=limit + 1, flagged=flagged
    )
    try:
        request = stored(row.request)
    except InvalidInput:
        request = None
    data = [_segment(segment, request, row.plan.get("rate") or 0) for segment in found[:limit]]
    return {"object": "list", "data": data, "has_more": len(found) > limit}


@router.get(
    "/v1/jobs/{job_id}/segments/{index}/audio",
    response_class=Response,
    responses=file_answers("audio/flac"),
)
async def segment_audio(job_id: str, index: int, request: Request, jobs: SharedJobs) -> Response:
    """The sound of one segment as FLAC, as the model made it, with ranges."""
    row = await asyncio.to_thread(jobs.stores.jobs.get, job_id)
    segment = await asyncio.to_thread(jobs.stores.segments.find, row.id, _index(index))
    if segment.sound is None:
        message = "This segment has no audio: it is not spoken yet, or could not be."
        raise NotFound(message, param="index", code="no_audio_yet")
    return await stored_file(request, jobs, sound_key(segment.sound), "audio/flac", f"{index}.flac")


@router.post("/v1/jobs/{job_id}/segments/{index}", status_code=202, openapi_extra=_BODY)
async def redo_segment(job_id: str, index: int, request: Request, jobs: SharedJobs) -> Response:
    """Speaks one segment of a finished job again and rewrites its files. No other segment is spoken again."""
    fields, _ = await read_object(request, MAX_PART)
    changes = check(SegmentBody, fields).model_dump(exclude_none=True)
    if not changes:
        message = "Missing required field 'seed', 'text' or 'voice'."
        raise InvalidInput(message, param="seed", code="missing_required_parameter")
    await jobs.redo(job_id, _index(index), changes)
    return await accepted(request, jobs, await asyncio.to_thread(jobs.stores.jobs.get, job_id))


def _index(index: int) -> int:
    """Raises NotFound for a number that no database takes."""
    if not 0 <= index < 2**31:
        raise NotFound("Invalid 'index': this segment does not exist.", param="index")
    return index


def _segment(row: SegmentRow, request: JobRequest | None, rate: int) -> dict[str, Any]:
    """rate: in Hz, 0 if not known yet."""
    return {
        "index": row.index,
        "chapter": row.chapter,
        "block": row.block,
        "span": [row.begin, row.end],
        "text": row.text,
        "speaker": row.voice or None,
        "voice": request and request.voice(row.voice).name,
        "seed": row.seed,
        "state": row.state,
        "seconds": round(row.samples / rate, 3) if rate else 0.0,
        "pause_after": row.pause_after,
        "retried": row.retried,
        "cut": row.cut,
        "error": row.error,
    }
