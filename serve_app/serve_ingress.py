"""The HTTP application as a Ray Serve deployment: `create_app` over the graph's handles."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.engine.device import memory
from serve_app.backend import RayBackend
from serve_app.context import Context, IngressSettings
from serve_app.ingress import create_app


@serve.ingress()
class Ingress:
    """Owns no tensor: validates, orders the segments of a request and streams their sound out.

    settings: the fields of IngressSettings. The app is built in the replica, after the constructor: nothing of
    it is pickled, and every route sees this replica's context.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        text_frontend: DeploymentHandle,
        voice_encoder: DeploymentHandle,
        gpt_scheduler: DeploymentHandle,
        vocoder_scheduler: DeploymentHandle,
    ) -> None:
        options = IngressSettings(**{**settings, "echo_request_id": False})  # Serve's proxy does that
        backend = RayBackend(
            options.family,
            text_frontend,
            voice_encoder,
            gpt_scheduler,
            vocoder_scheduler,
            ingress=serve.get_deployment_handle("Ingress", serve.get_replica_context().app_name),
            options=options.family_options,
            sampling=options.sampling,
        )
        self.context = Context.create(options, backend)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self.context)

    async def free(self) -> dict[str, Any]:
        """Forgets the voice prompts in this process and gives back what is not used (see `memory.free`)."""
        self.context.prompts.forget()
        return await asyncio.to_thread(memory.free)

    async def check_health(self) -> None:
        """Answering is the check: this replica's loop runs."""
