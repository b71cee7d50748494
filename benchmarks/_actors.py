"""The processes of a service on a cluster: which there are, how to kill one, and when all are back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Collection
from typing import Any

import psutil
from ray import serve

from benchmarks import _memory

PROXY, CONTROLLER = "ProxyActor", "ServeController"
SERVE = frozenset({PROXY, CONTROLLER})
LOOK_S = 0.5


def actors(below: psutil.Process, deployments: Collection[str]) -> dict[int, str]:
    """The process id and the name of every actor of Serve: a deployment's, PROXY or CONTROLLER."""
    found = {}
    for process in below.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            name = _memory.part_of(process.cmdline())
            if (name in SERVE or name in deployments) and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = name
    return found


class Actors:
    """Those of the service below this process."""

    def __init__(self) -> None:
        self._below = psutil.Process()
        self.deployments = frozenset(
            name for app in serve.status().applications.values() for name in app.deployments
        )
        self.usual = Counter(self.alive().values())

    def alive(self) -> dict[int, str]:
        return actors(self._below, self.deployments)

    def kill(self, name: str) -> int:
        """SIGKILL for one actor of that name. Returns its process id."""
        pid = next(pid for pid, found in self.alive().items() if found == name)
        os.kill(pid, signal.SIGKILL)
        return pid

    async def until_back(self, gone: Collection[int] = ()) -> None:
        """Waits until `gone` are dead, there are as many actors of each name as before, and Serve calls all healthy."""
        while not await asyncio.to_thread(self._back, gone):
            await asyncio.sleep(LOOK_S)

    def _back(self, gone: Collection[int]) -> bool:
        alive = self.alive()
        if alive.keys() & set(gone) or Counter(alive.values()) != self.usual:
            return False
        try:
            status: Any = serve.status()
        except Exception:  # the controller is not there
            return False
        stages = [stage for app in status.applications.values() for stage in app.deployments.values()]
        return (
            all(app.status == "RUNNING" for app in status.applications.values())
            and all(state == "HEALTHY" for state in status.proxies.values())
            and all(stage.status == "HEALTHY" and states(stage) == {"RUNNING"} for stage in stages)
        )


def states(stage: Any) -> set[str]:
    """Those that at least one replica is in."""
    return {state for state, count in stage.replica_states.items() if count}
