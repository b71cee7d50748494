"""Detects that Serve stops replicas of a stage or its scheduler, so that leases can end: Serve tells only the replicas,
and a scheduler not before its last query has ended.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray import serve

log = logging.getLogger("ray.serve")

CHECK_S = 3.0
REPORTED_S = 10.0  # a younger report is of a replica that is at work
UNASKED_S = 5.0  # more than Serve's `health_check_period_s`


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """What a replica reported, and when, on the monotonic clock."""

    status: Mapping[str, Any]
    at: float

    def unasked(self, now: float) -> float:
        """Seconds since Serve last checked the replica's health; 0 for an old report."""
        age = now - self.at
        return self.status.get("unasked_s", 0.0) + age if age < REPORTED_S else 0.0


@dataclass(frozen=True, slots=True)
class RollOut:
    """stage: some of its replicas are being stopped; scheduler: this one is."""

    stage: bool = False
    scheduler: bool = False


async def watch_roll_out(
    app: str,
    stage: str,
    scheduler: str,
    replicas: Mapping[str, ReplicaStatus],
    asked_at: Callable[[], float],
    changed: Callable[[RollOut], None],
) -> None:
    """Calls `changed` whenever what Serve is stopping changes.

    Serve stops checking the health of what it stops. Its status is certain, but costs this process about 60 ms of work,
    so it is requested only if the health of a busy replica or of this scheduler was not checked for UNASKED_S.

    scheduler: the name of this deployment. asked_at: the last check of its health, on the monotonic clock.
    """
    known = RollOut()
    while True:
        await asyncio.sleep(CHECK_S)
        now = time.monotonic()
        unasked = now - asked_at() > UNASKED_S
        quiet = [name for name, replica in replicas.items() if replica.unasked(now) > UNASKED_S]
        if known == RollOut() and not unasked and not quiet:
            continue
        try:
            status = await asyncio.to_thread(serve.status)
            deployments = status.applications[app].deployments
            stopping = [
                any(
                    state == "STOPPING" and count for state, count in deployments[name].replica_states.items()
                )
                for name in (stage, scheduler)
            ]
        except Exception as error:
            log.debug("no status from the controller: %r", error)
            continue
        before, known = known, RollOut(stopping[0], unasked and stopping[1])
        if known != before:
            changed(known)
