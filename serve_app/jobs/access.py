"""How the work on a job reaches the database and the files, which may be unavailable, full or slow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from deployments.contract.errors import DiskFull
from serve_app.jobs.audio_store import NO_ROOM, AudioStore
from serve_app.jobs.database import DatabaseAway
from serve_app.jobs.segments import SegmentStore
from serve_app.jobs.store import JobStore

log = logging.getLogger("chorale.jobs")

P = ParamSpec("P")
R = TypeVar("R")
AGAIN_S = 0.5  # before a retry of the database


@dataclass(frozen=True, slots=True)
class Stores:
    """Where jobs are kept."""

    jobs: JobStore
    segments: SegmentStore
    audio: AudioStore


class Pause(Exception):
    """The job cannot continue now. reason: a sentence for the user."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Access:
    """Calls of the stores in threads, for one job."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._threads: set[asyncio.Future[Any]] = set()  # that write files

    async def db(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Repeats the call while the database is unavailable or full."""
        while True:
            try:
                return await asyncio.to_thread(call, *args, **kwargs)
            except (DatabaseAway, DiskFull) as error:
                log.warning("job %s waits: %s", self._job_id, error.message)
                await asyncio.sleep(AGAIN_S)

    async def files(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Continues in the background if this is cancelled. Raises Pause if the disk is full."""
        thread = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
        self._threads.add(thread)
        thread.add_done_callback(self._threads.discard)
        try:
            return await asyncio.shield(thread)
        except DiskFull as error:
            raise Pause(f"{error.message} The job resumes when there is space.") from None
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise Pause("The disk is full. The job resumes when there is space.") from None

    async def settled(self) -> None:
        """Returns when no call of `files` is in progress."""
        if self._threads:
            await asyncio.wait(self._threads)
