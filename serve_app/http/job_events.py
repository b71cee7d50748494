"""The server-sent events of a job."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from deployments.contract.errors import NotFound, Unavailable
from serve_app.jobs.jobs import Jobs
from serve_app.jobs.models import FINISHED

POLL_S = 0.5
QUIET_S = 15.0  # after which a comment shows that the connection is alive
LONGEST_S = 300.0  # then the client reconnects: a proxy may limit the duration of a response


async def events(jobs: Jobs, job_id: str, seen: int) -> AsyncIterator[bytes]:
    """Yields events until the job ends or is deleted. seen: the number of the last log line that the client has."""
    state, last = None, None
    began = spoke = time.monotonic()
    while True:
        ready: list[bytes] = []
        try:
            card = await jobs.card(job_id)
            lines = await asyncio.to_thread(jobs.stores.jobs.lines, job_id, seen)
        except NotFound:
            yield event("state", {"id": job_id, "object": "job.deleted", "deleted": True})
            return
        except Unavailable:
            card, lines = None, []
        for line in lines:
            seen = line.number
            ready.append(event("log", {"at": line.at, "message": line.message}, line.number))
        if card is not None and (card["state"], card["paused"]) != state:
            state = card["state"], card["paused"]
            ready.append(event("state", card))
        if card is not None and card["progress"] != last:
            last = card["progress"]
            ready.append(event("progress", card))
        if not ready and time.monotonic() - spoke > QUIET_S:
            ready.append(b": the connection is alive\n\n")
        if ready:
            spoke = time.monotonic()
            yield b"".join(ready)
        if time.monotonic() - began > LONGEST_S or (card is not None and card["state"] in FINISHED):
            return
        await asyncio.sleep(POLL_S)


def event(name: str, data: Any, number: int | None = None) -> bytes:
    head = f"event: {name}\n" if number is None else f"id: {number}\nevent: {name}\n"
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
