"""Builds the graph from our options: the `import_path` of a Serve config file, which hands over its `args`."""

from __future__ import annotations

import logging
from typing import Any

from ray import serve

from deployments.gpt import Gpt
from deployments.scheduler import StageScheduler
from deployments.text_frontend import TextFrontend
from deployments.vocoder import Vocoder
from deployments.voice_encoder import VoiceEncoder
from serve_app.config.settings import GptSettings, LeasedSettings, Scaled, Settings
from serve_app.http.deployment import Ingress

log = logging.getLogger("ray.serve")

# Serve's default router looks again for a free replica after 25 to 500 ms. These stages answer in milliseconds.
SHORT_CALLS = {"initial_backoff_s": 0.002, "backoff_multiplier": 1.0, "max_backoff_s": 0.002}
QUIET = {"enable_access_log": False}  # of the stages: a line for every poll would tell nobody anything
LEASES = {"initial_backoff_s": 0.01, "backoff_multiplier": 1.5, "max_backoff_s": 0.1}


def build(args: dict[str, Any]) -> serve.Application:
    """Ingress ← TextFrontend, VoiceEncoder, GptScheduler ← Gpt, VocoderScheduler ← Vocoder.

    Raises ConfigError for an unknown key or a wrong type.
    """
    settings = Settings.from_args(args)
    log.info("settings %s", settings.hash)
    model, gpt, vocoder = settings.model, settings.gpt, settings.vocoder
    slots = None if gpt.slots == "auto" else gpt.slots

    text_frontend = _stage(TextFrontend, settings.text_frontend, SHORT_CALLS).bind(model)
    voice_encoder = _stage(VoiceEncoder, settings.voice_encoder, SHORT_CALLS).bind(model)
    gpt_stage = _stage(Gpt, gpt, LEASES).bind(model)
    vocoder_stage = _stage(Vocoder, vocoder, LEASES).bind(model)
    ingress = serve.deployment(
        name="Ingress",
        num_replicas=settings.ingress.replicas,
        max_ongoing_requests=100_000,  # the middleware counts requests that work, and lets /health through
        health_check_period_s=1,
        health_check_timeout_s=30,
        ray_actor_options={"num_cpus": settings.ingress.num_cpus},
    )(Ingress)
    return ingress.bind(
        settings,
        text_frontend,
        voice_encoder,
        _scheduler("GptScheduler", gpt_stage, gpt, slots),
        _scheduler("VocoderScheduler", vocoder_stage, vocoder, vocoder.max_batch),
    )


def _stage(replica: type, section: Scaled, router: dict[str, float]) -> serve.Deployment:
    """A stage whose replicas take one query at a time."""
    options: dict[str, Any] = {"num_replicas": section.replicas}
    if section.autoscaling is not None:
        options = {"autoscaling_config": {**section.autoscaling.model_dump(), "target_ongoing_requests": 1}}
    if isinstance(section, LeasedSettings):
        options["graceful_shutdown_timeout_s"] = section.graceful_shutdown_s
    return serve.deployment(
        name=replica.__name__,
        max_ongoing_requests=1,
        health_check_period_s=5,
        health_check_timeout_s=30,
        graceful_shutdown_wait_loop_s=0.5,
        ray_actor_options={"num_cpus": section.num_cpus, "num_gpus": section.num_gpus},
        request_router_config=router,
        logging_config=QUIET,
        **options,
    )(replica)


def _scheduler(
    name: str, stage: serve.Application, section: LeasedSettings, slots: int | None
) -> serve.Application:
    smallest, largest = section.bounds
    deployment = serve.deployment(
        name=name,
        num_replicas=1,
        max_ongoing_requests=100_000,
        health_check_period_s=5,
        graceful_shutdown_wait_loop_s=0.5,
        ray_actor_options={"num_cpus": 0.1},
        logging_config=QUIET,
    )(StageScheduler)
    queue = {}
    if isinstance(section, GptSettings):  # the vocoder's work is part of requests that were let in
        queue = {"max_wait_s": section.max_wait_s, "first_share": section.first_segment_share}
    return deployment.bind(
        stage,
        slots=slots,
        max_queue=section.max_queue,
        min_replicas=smallest,
        max_replicas=largest,
        lease_s=section.lease_s,
        **queue,
    )
