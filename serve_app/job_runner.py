"""The runner of jobs as a Ray Serve deployment, beside the ingress and over the same models."""

from __future__ import annotations

import asyncio

from deployments.placement import make_way
from serve_app.backends.replica import ServiceReplica
from serve_app.config.settings import ServiceSettings
from serve_app.jobs.jobs import open_stores
from serve_app.jobs.runner import Runner


class JobRunner(ServiceReplica):
    """Works on the jobs in the database until the replica ends. No request reaches it, and it holds no tensors."""

    def __init__(self, settings: ServiceSettings) -> None:
        super().__init__(settings)
        make_way()  # it encodes whole books
        runner = Runner(self.service, open_stores(settings), settings.jobs)
        self._running = asyncio.get_running_loop().create_task(runner.run())

    async def check_health(self) -> None:
        """Raises RuntimeError if the runner or the search for models has ended: Serve starts another replica."""
        await super().check_health()
        if self._running.done():
            raise RuntimeError(f"the runner of jobs ended: {self._running}")
