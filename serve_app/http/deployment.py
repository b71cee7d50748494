"""The HTTP application as a Ray Serve deployment: `create_app` over the graph's handles."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.engine.device import memory
from serve_app.audio import sandbox
from serve_app.backends.graph import RayBackend
from serve_app.config.settings import Settings
from serve_app.http.app import create_app
from serve_app.service import Service


@serve.ingress()
class Ingress:
    """Validates requests, puts their segments in order and streams the sound. It holds no tensors.

    The app is built in the replica, after the constructor. It is never pickled, and every route uses this replica's
    service.
    """

    def __init__(
        self,
        settings: Settings,
        text_frontend: DeploymentHandle,
        voice_encoder: DeploymentHandle,
        gpt_scheduler: DeploymentHandle,
        vocoder_scheduler: DeploymentHandle,
    ) -> None:
        backend = RayBackend(
            settings.model,
            text_frontend,
            voice_encoder,
            gpt_scheduler,
            vocoder_scheduler,
            ingress=serve.get_deployment_handle("Ingress", serve.get_replica_context().app_name),
        )
        self.service = Service(settings, backend)
        sandbox.shared().start()

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self.service, echo_request_id=False)  # Serve's proxy does that

    async def free(self) -> dict[str, Any]:
        """Drops the voice prompts in this process and frees unused memory (see `memory.free`)."""
        self.service.prompts.clear()
        return await asyncio.to_thread(memory.free)

    async def forget(self, voice: str) -> None:
        """Drops the prompts of a voice in this process."""
        self.service.prompts.forget(voice)

    async def check_health(self) -> None:
        """The answer itself shows that this replica's event loop runs."""
