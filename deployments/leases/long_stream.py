"""The reports of a lease to its scheduler, over several queries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

from deployments.leases.loop import CARRY_S, Report

AGAIN_S = 0.05  # until a query that found another replica than it was meant for is made again
BROKEN_CALLS = 3  # in a row, before any report: more than that is not Ray's race


async def lease_reports(
    query: Callable[[bool], Any], lost: type[Exception] = ConnectionError
) -> AsyncGenerator[Report]:
    """All that a lease reports. Raises what its replica raises.

    query: calls the replica, with whether this goes on with the lease; returns a stream that can be cancelled.
    lost: what such a stream raises when its replica is gone.

    A query that goes on with it may come to a replica that does not carry it, and ends at once: it is made again. So
    is one that Ray breaks: its router now and then takes a call that ends at once, as one does that is turned away,
    for an error ("Unexpected error (StatusCode.OK)", 2.60), since the end overtakes the metadata that it waits for.
    """
    resume, until, broken = False, 0.0, 0
    while True:
        stream = query(resume)
        last: Report | None = None
        try:
            async for report in stream:
                last = report
                yield report
            broken = 0
        except RuntimeError as error:
            if last is not None or isinstance(error, lost) or broken == BROKEN_CALLS:
                raise
            broken += 1
        finally:
            stream.cancel()
        if last is not None and last.more:
            resume, until = True, time.monotonic() + CARRY_S
        elif last is None and (broken or (resume and time.monotonic() < until)):
            await asyncio.sleep(AGAIN_S)
        else:
            return
