"""Decodes untrusted recordings in a restricted process, which runs `jail`."""

from __future__ import annotations

from functools import cache

import numpy as np

from deployments.contract.errors import InvalidInput
from serve_app.audio.decode import LOWEST_RATE
from serve_app.audio.examine import WARNINGS
from serve_app.audio.jail import WALL_S
from serve_app.audio.recording import MAX_RATE, Recording
from serve_app.sandbox.process import Answer, JailedProcess, broken

WORKERS = 2  # recordings decoded at once
WAITING = 16  # recordings that may wait


class Sandbox(JailedProcess):
    """Decodes and examines recordings in child processes with limits. Safe to use from any thread and event loop."""

    def __init__(self, workers: int = WORKERS, waiting: int = WAITING) -> None:
        super().__init__("serve_app.audio.jail", "recording", WALL_S, workers, waiting)

    async def read(self, data: bytes, *, min_seconds: float, max_seconds: float, param: str) -> Recording:
        """Runs `decode_recording` and `examine`. Raises as they do, and as `ask`."""
        if not data:
            raise InvalidInput(f"Invalid '{param}': the file is empty.", param=param)
        request = {"min_seconds": min_seconds, "max_seconds": max_seconds, "param": param}
        most = 2 * (int(max_seconds * MAX_RATE) + MAX_RATE)
        return _recording(await self.ask(data, request, most), param)


@cache
def shared() -> Sandbox:
    """The sandbox of this process."""
    return Sandbox()


def _recording(answer: Answer, param: str) -> Recording:
    """Checks every field of the answer, because the file may have taken control of the child."""
    said, samples = answer
    try:
        if not (LOWEST_RATE <= said["rate"] <= MAX_RATE and 0 < 2 * said["samples"] == len(samples)):
            raise broken(param)
        warnings = tuple(name for name in said["warnings"] if name in WARNINGS)
        return Recording(np.frombuffer(samples, "<i2"), said["rate"], warnings)
    except (KeyError, TypeError, ValueError):
        raise broken(param) from None
