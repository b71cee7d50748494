"""Keeps a runner's lease on a job, and the job's figures, up to date while the runner works on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from deployments.contract.errors import ChoraleError
from serve_app.jobs.access import Stores
from serve_app.jobs.segments import Counts
from serve_app.jobs.store import LeaseLost
from serve_app.models import Model

log = logging.getLogger("chorale.jobs")

BEAT_S = 1.0  # between two heartbeats
STATUS_S = 5.0  # between two queries of the device's status


class Heartbeat:
    """Of the job `job_id`, which is leased to the runner `owner`.

    figures: of the job, from the counts of its segments and the status of its model, {} if that is unknown.
    cancelling: whether the job is to be cancelled; lost: whether it belongs to another runner now, or is deleted.
    """

    def __init__(
        self,
        stores: Stores,
        job_id: str,
        owner: str,
        lease_s: float,
        figures: Callable[[Counts, Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        self.cancelling = self.lost = False
        self.status: dict[str, Any] = {}
        self._stores, self._job_id, self._owner, self._lease_s = stores, job_id, owner, lease_s
        self._figures = figures

    async def run(self, model: Callable[[], Awaitable[Model]]) -> None:
        """Returns when the work must stop. model: raises ChoraleError while there is none."""
        last, looked = time.monotonic(), float("-inf")
        while not (self.lost or self.cancelling):
            await asyncio.sleep(BEAT_S)
            try:
                if time.monotonic() - looked >= STATUS_S:
                    looked = time.monotonic()
                    with contextlib.suppress(ChoraleError):
                        self.status = await (await model()).backend.status()
                counts = await asyncio.to_thread(self._stores.segments.counts, self._job_id)
                now = time.monotonic()
                worked, last = now - last, now
                figures = self._figures(Counts.sum(counts.values()), self.status)
                self.cancelling = await asyncio.to_thread(
                    self._stores.jobs.beat, self._job_id, self._owner, self._lease_s, worked, figures
                )
            except LeaseLost:
                self.lost = True
            except Exception as error:  # without heartbeats another runner would take the job
                log.warning("job %s: no heartbeat: %r", self._job_id, error)
