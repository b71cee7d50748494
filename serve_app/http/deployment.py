"""The HTTP application as a Ray Serve deployment: `create_app` over a service whose models are elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.handle import DeploymentHandle

from serve_app.backends.replica import ServiceReplica
from serve_app.config.settings import ServiceSettings
from serve_app.http.app import create_app
from serve_app.runtime.ports import check_access


@serve.ingress()
class Ingress(ServiceReplica):
    """The app is built in the replica, after the constructor, and never pickled: its routes use this replica's service.

    others: models in the same application; all models are found by name. Raises ConfigError if other machines could use
    the service without a key, which `chorale serve` checks earlier.
    """

    def __init__(
        self, settings: ServiceSettings, job_runner: DeploymentHandle, *others: DeploymentHandle
    ) -> None:
        client = _get_global_client()
        if client is not None and (host := client.http_config.host):  # else Serve has no HTTP
            check_access(host, settings)
        context = serve.get_replica_context()
        own = serve.get_deployment_handle(context.deployment, context.app_name)
        super().__init__(settings, {"ingress": own, "job_runner": job_runner})

    async def reconfigure(self, wanted: Mapping[str, Any]) -> None:
        await super().reconfigure(wanted)
        await asyncio.to_thread(self.service.sweep_prompts, wanted["keep_request_references"])

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self.service, echo_request_id=False)  # Serve's proxy does that
