"""Claims queued jobs and works on a few at once. Any number of runners may share a database."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
from pathlib import Path

import psutil

from deployments.contract.errors import DiskFull
from serve_app.config.jobs import JobsSettings
from serve_app.jobs.access import Stores
from serve_app.jobs.database import DatabaseAway
from serve_app.jobs.sweep import sweep
from serve_app.jobs.work import Work
from serve_app.service import Service

log = logging.getLogger("chorale.jobs")

POLL_S = 1.0  # between two searches for a job
SWEEP_S = 3600.0  # between two searches for files that no job uses
BOOT = Path("/proc/sys/kernel/random/boot_id")


class Runner:
    """Speaks jobs through `service`. only: the id of the one job that it works on, None for any."""

    def __init__(
        self, service: Service, stores: Stores, settings: JobsSettings, only: str | None = None
    ) -> None:
        self.owner = f"{_host()}/{os.getpid()}/{_started(os.getpid())}/{secrets.token_hex(4)}"
        self._service, self._stores, self._settings, self._only = service, stores, settings, only
        self._works: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Runs until it is cancelled, and then gives back the jobs in progress."""
        sweeps = asyncio.create_task(self._sweeps())
        try:
            while True:
                try:
                    await self._look()
                except (DatabaseAway, DiskFull) as error:
                    log.warning("cannot look for jobs: %s", error.message)
                await asyncio.sleep(POLL_S)
        finally:
            sweeps.cancel()
            for work in self._works:
                work.cancel()
            await asyncio.gather(sweeps, *self._works, return_exceptions=True)

    async def _sweeps(self) -> None:
        """Deletes files that no job uses, now and every SWEEP_S."""
        while True:
            stop = threading.Event()
            thread = asyncio.ensure_future(asyncio.to_thread(sweep, self._stores, stop))
            try:
                if deleted := await asyncio.shield(thread):
                    log.info("deleted %d files that no job uses", deleted)
            except asyncio.CancelledError:
                stop.set()
                await asyncio.wait({thread})
                raise
            except Exception as error:  # of any store; jobs do not depend on it
                log.warning("cannot delete files that no job uses: %r", error)
            await asyncio.sleep(SWEEP_S)

    async def _look(self) -> None:
        jobs, settings = self._stores.jobs, self._settings
        for owner in await asyncio.to_thread(jobs.owners):
            if _is_dead(owner):
                log.warning("runner %s is dead: taking over its jobs", owner)
                await asyncio.to_thread(jobs.free, owner)
        while len(self._works) < settings.concurrency:
            row = await asyncio.to_thread(
                jobs.claim, self.owner, settings.lease_s, settings.concurrency, self._only
            )
            if row is None:
                return
            log.info("job %s: started or resumed", row.id)
            work = Work(self._service, self._stores, row, self.owner, settings.lease_s)
            task = asyncio.create_task(work.run())
            self._works.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._works.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the work on a job failed", exc_info=error)  # its lease expires


def _host() -> str:
    """Identifies this machine, since its last boot."""
    boot = BOOT.read_text().strip() if BOOT.exists() else ""
    return f"{socket.gethostname()[:40]}/{boot}"


def _started(pid: int) -> str:
    return f"{psutil.Process(pid).create_time():.2f}"


def _is_dead(owner: str) -> bool:
    """Whether the runner's process ran on this machine and has ended. The lease of any other must expire first."""
    host, _, rest = owner.rpartition("/")[0].rpartition("/")[0].rpartition("/")
    if host != _host():
        return False
    pid, started = rest, owner.split("/")[-2]
    try:
        process = psutil.Process(int(pid))
        return process.status() == psutil.STATUS_ZOMBIE or _started(int(pid)) != started
    except (psutil.NoSuchProcess, ValueError):
        return True
