"""What the ingress and the runner of jobs have in common: a service, in a Serve replica, over models elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments import logs
from deployments.engine.device import memory
from deployments.metrics import ServeMetrics
from serve_app.audio import sandbox
from serve_app.backends.discovery import Discovery
from serve_app.backends.graph import Replicas
from serve_app.config.settings import ServiceSettings
from serve_app.models import Models
from serve_app.service import SHIPPED_VOICES, Service


class ServiceReplica:
    """peers: deployments by name, all of whose replicas have caches that a change of a voice concerns."""

    def __init__(
        self, settings: ServiceSettings, peers: Mapping[str, DeploymentHandle] | None = None
    ) -> None:
        logs.join_serve()
        models = Models()
        replicas = (Replicas(name, peer.options(_by_reference=False)) for name, peer in (peers or {}).items())
        self.service = Service(settings, models, SHIPPED_VOICES, *replicas, recorder=ServeMetrics())
        self._discovery = Discovery(models, serve.get_replica_context().app_name, settings.ingress)
        sandbox.shared().start()

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
        """Raises RuntimeError if the search for models has ended. An answer shows that the event loop runs."""
        self._discovery.check_health()
