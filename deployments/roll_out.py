"""Detects that Serve stops replicas of a stage, so that their leases can end: Serve informs only the replicas."""

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
UNASKED_S = 12.0  # more than Serve's `health_check_period_s`


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """What a replica reported, and when, on the monotonic clock."""

    status: Mapping[str, Any]
    at: float

    def unasked(self, now: float) -> float:
        """Seconds since Serve last checked the replica's health; 0 for an old report."""
        age = now - self.at
        return self.status.get("unasked_s", 0.0) + age if age < REPORTED_S else 0.0


async def watch_roll_out(
    app: str, stage: str, replicas: Mapping[str, ReplicaStatus], changed: Callable[[bool], None]
) -> None:
    """Calls `changed` with whether replicas of the stage are being stopped, whenever that changes.

    Serve stops checking the health of a replica that it stops. Its status is certain, but costs this process about 60
    ms of work, so it is requested only if a busy replica's health was not checked for UNASKED_S.
    """
    draining = False
    while True:
        await asyncio.sleep(CHECK_S)
        now = time.monotonic()
        if not draining and all(replica.unasked(now) <= UNASKED_S for replica in replicas.values()):
            continue
        try:
            status = await asyncio.to_thread(serve.status)
            states = status.applications[app].deployments[stage].replica_states
        except Exception as error:
            log.debug("no status from the controller: %r", error)
            continue
        before, draining = draining, any(state == "STOPPING" and count for state, count in states.items())
        if draining != before:
            changed(draining)
