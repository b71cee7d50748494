"""The runner of jobs as a Ray Serve deployment, beside the ingress and over the same models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ray import serve

from deployments import logs
from deployments.engine.device import memory
from deployments.metrics import ServeMetrics
from serve_app.audio import sandbox
from serve_app.backends.discovery import Discovery
from serve_app.config.settings import ServiceSettings
from serve_app.jobs.jobs import open_stores
from serve_app.jobs.runner import Runner
from serve_app.models import Models
from serve_app.service import Service


class JobRunner:
    """Works on the jobs in the database until the replica ends. No request reaches it, and it holds no tensors."""

    def __init__(self, settings: ServiceSettings) -> None:
        logs.join_serve()
        models = Models()
        application = serve.get_replica_context().app_name
        self.service = Service(settings, models, recorder=ServeMetrics())
        self._discovery = Discovery(models, application, settings.ingress)
        sandbox.shared().start()
        runner = Runner(self.service, open_stores(settings), settings.jobs)
        self._running = asyncio.get_running_loop().create_task(runner.run())

    async def reconfigure(self, wanted: Mapping[str, Any]) -> None:
        """Called at start and on a change. wanted: from `config.applications.expected_models`."""
        self._discovery.expect(wanted)

    async def free(self) -> dict[str, Any]:
        """Drops the voice prompts in this process and frees unused memory (see `memory.free`)."""
        self.service.clear_prompts()
        return await asyncio.to_thread(memory.free)

    async def forget(self, voice: str) -> None:
        """Drops the prompts of a voice in this process."""
        self.service.forget_here(voice)

    async def check_health(self) -> None:
        """Raises RuntimeError if the runner or the search for models has ended: Serve starts another replica."""
        self._discovery.check_health()
        if self._running.done():
            raise RuntimeError(f"the runner of jobs ended: {self._running}")
