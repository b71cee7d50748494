"""Claims queued jobs and works on a few at once. Any number of runners may share a database."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from deployments.contract import telemetry
from deployments.contract.errors import DiskFull, InvalidInput
from serve_app.config.jobs import JobsSettings
from serve_app.jobs.access import Stores
from serve_app.jobs.database import DatabaseAway
from serve_app.jobs.progress import Conversion
from serve_app.jobs.store import LeaseLost
from serve_app.jobs.sweep import sweep
from serve_app.jobs.work import Work
from serve_app.service import Service

log = logging.getLogger("chorale.jobs")

POLL_S = 1.0  # between two searches for a job
COUNT_S = 5.0  # between two records of the jobs by state
SWEEP_S = 3600.0  # between two searches for files that no job uses
BOOT = Path("/proc/sys/kernel/random/boot_id")
PROCESSES = Path("/proc")
START_TICKS = 19  # behind the name in /proc/PID/stat: field 22 in proc(5)


class Runner:
    """Speaks jobs through `service`. only: the id of the one job that it works on, None for any."""

    def __init__(
        self, service: Service, stores: Stores, settings: JobsSettings, only: str | None = None
    ) -> None:
        self.owner = f"{_host()}/{os.getpid()}/{_started(os.getpid())}/{secrets.token_hex(4)}"
        self._service, self._stores, self._settings, self._only = service, stores, settings, only
        self._conversion = Conversion()
        self._works: dict[str, asyncio.Task[None]] = {}  # by the ids of their jobs

    async def run(self) -> None:
        """Runs until it is cancelled, and then gives back the jobs in progress."""
        others = [asyncio.create_task(self._sweeps()), asyncio.create_task(self._count())]
        try:
            while True:
                try:
                    await self._look()
                except (DatabaseAway, DiskFull) as error:
                    log.warning("cannot look for jobs: %s", error.message)
                await asyncio.sleep(POLL_S)
        finally:
            tasks = [*others, *self._works.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _count(self) -> None:
        """Records the number of jobs by state, unless it works on one job alone."""
        while self._only is None:
            with suppress(DatabaseAway, DiskFull):
                for state, count in (await asyncio.to_thread(self._stores.jobs.counts)).items():
                    self._service.recorder.record(telemetry.JOBS, count, state=state)
            await asyncio.sleep(COUNT_S)

    async def _sweeps(self) -> None:
        """Deletes what no job has, now and every SWEEP_S.

        Not beside one job of the command line, whose database may be another than that of the service with these files.
        """
        if self._only is not None:
            return
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
                jobs.claim, self.owner, settings.lease_s, settings.concurrency, self._only, list(self._works)
            )
            if row is None:
                return
            try:
                work = Work(self._service, self._stores, row, self.owner, settings.lease_s, self._conversion)
            except InvalidInput as error:
                log.warning("job %s: %s", row.id, error.message)
                end = partial(jobs.end, row.id, self.owner, "failed", f"Failed: {error.message}")
                with suppress(LeaseLost):
                    await asyncio.to_thread(end, error=error.message, code=error.code)
                continue
            log.info("job %s: started or resumed", row.id)
            task = self._works[row.id] = asyncio.create_task(work.run())
            task.add_done_callback(partial(self._ended, row.id))

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        del self._works[job_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the work on a job failed", exc_info=error)  # its lease expires


def _host() -> str:
    """Identifies this machine, since its last boot."""
    boot = BOOT.read_text().strip() if BOOT.exists() else ""
    return f"{socket.gethostname()[:40]}/{boot}"


def _started(pid: int) -> str:
    """When a process was started. Where the system says it, in ticks since the boot: a set clock does not change it."""
    stat = PROCESSES / str(pid) / "stat"
    if not PROCESSES.exists():
        return f"{psutil.Process(pid).create_time():.2f}"
    try:
        return stat.read_text(errors="replace").rpartition(")")[2].split()[START_TICKS]
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None


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
