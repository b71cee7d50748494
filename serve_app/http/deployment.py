"""The HTTP application as a Ray Serve deployment: `create_app` over a service whose models are elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.handle import DeploymentHandle

from deployments import logs
from deployments.engine.device import memory
from deployments.metrics import ServeMetrics
from serve_app.audio import sandbox
from serve_app.backends.discovery import Discovery
from serve_app.backends.graph import Replicas
from serve_app.config.settings import ServiceSettings
from serve_app.http.app import create_app
from serve_app.models import Models
from serve_app.runtime.ports import check_access
from serve_app.service import SHIPPED_VOICES, Service


@serve.ingress()
class Ingress:
    """The app is built in the replica, after the constructor, and never pickled: its routes use this replica's service.

    others: models in the same application; all models are found by name. Raises ConfigError if other machines could use
    the service without a key, which `chorale serve` checks earlier.
    """

    def __init__(
        self, settings: ServiceSettings, job_runner: DeploymentHandle, *others: DeploymentHandle
    ) -> None:
        logs.join_serve()
        client = _get_global_client()
        if client is not None and (host := client.http_config.host):  # else Serve has no HTTP
            check_access(host, settings)
        context, models = serve.get_replica_context(), Models()
        own = serve.get_deployment_handle(context.deployment, context.app_name)
        stages = {"ingress": own, "job_runner": job_runner}
        peers = (Replicas(name, stage.options(_by_reference=False)) for name, stage in stages.items())
        self.service = Service(settings, models, SHIPPED_VOICES, *peers, recorder=ServeMetrics())
        self._discovery = Discovery(models, context.app_name, settings.ingress)
        sandbox.shared().start()

    async def reconfigure(self, wanted: Mapping[str, Any]) -> None:
        """Called at start and on a change. wanted: from `config.applications.expected_models`."""
        self._discovery.expect(wanted)
        await asyncio.to_thread(self.service.sweep_prompts, wanted["keep_request_references"])

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self.service, echo_request_id=False)  # Serve's proxy does that

    async def free(self) -> dict[str, Any]:
        """Drops the voice prompts in this process and frees unused memory (see `memory.free`)."""
        self.service.clear_prompts()
        return await asyncio.to_thread(memory.free)

    async def forget(self, voice: str) -> None:
        """Drops the prompts of a voice in this process."""
        self.service.forget_here(voice)

    async def check_health(self) -> None:
        """The answer itself shows that this replica's event loop runs."""
        self._discovery.check_health()
