"""The graph, built from our options. Serve calls these functions by `import_path`, with the `args` of a config file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ray import serve

from deployments.contract.options import ModelOptions
from deployments.gpt import Gpt
from deployments.scheduler import StageScheduler
from deployments.text_frontend import TextFrontend
from deployments.vocoder import Vocoder
from deployments.voice_encoder import VoiceEncoder
from serve_app.config.applications import INGRESS, JOB_RUNNER, expected_models, prefix
from serve_app.config.settings import ModelArgs, ServiceSettings, Settings
from serve_app.config.stages import LeasedSettings, LogOptions, Scaled
from serve_app.http.deployment import Ingress
from serve_app.job_runner import JobRunner

log = logging.getLogger("ray.serve")

# Serve's default router checks again for a free replica after 25 to 500 ms. These stages answer in milliseconds.
SHORT_CALLS = {"initial_backoff_s": 0.002, "backoff_multiplier": 1.0, "max_backoff_s": 0.002}
LEASES = {"initial_backoff_s": 0.01, "backoff_multiplier": 1.5, "max_backoff_s": 0.1}
COMMON: dict[str, Any] = {  # to stages and schedulers
    "health_check_period_s": 1,  # until Serve notices a death
    "graceful_shutdown_wait_loop_s": 0.5,
}


def build(args: dict[str, Any]) -> serve.Application:
    """One application with everything, for `serve run FILE` and `serve deploy FILE`. Raises ConfigError."""
    settings = Settings.from_args(args)
    log.info("settings %s", settings.hash)
    models = [_model(settings.model_args(name), prefix(settings, name)) for name in settings.served]
    return _ingress(settings, expected_models(settings, apart=False), *models)


def ingress(args: dict[str, Any]) -> serve.Application:
    """The ingress and the runner of jobs (see `expanded`); the models come as `user_config`."""
    return _ingress(ServiceSettings(**args), None)


def model(args: dict[str, Any]) -> serve.Application:
    """The stages of one model (see `expanded`)."""
    return _model(ModelArgs(**args))


def _ingress(
    settings: ServiceSettings, models: dict[str, Any] | None, *bound: serve.Application
) -> serve.Application:
    """bound: models in the same application, whose stages the ingress finds by name."""
    runner = serve.deployment(
        name=JOB_RUNNER,
        num_replicas=1,
        max_ongoing_requests=100,
        health_check_period_s=1,
        health_check_timeout_s=30,
        graceful_shutdown_wait_loop_s=0.5,
        ray_actor_options={"num_cpus": settings.jobs.num_cpus},
        logging_config=_quiet(settings.logs),
        user_config=models,
    )(JobRunner).bind(settings)
    # else Serve's own options apply
    logs: dict[str, Any] = (
        {"logging_config": settings.logs.serve} if "logs" in settings.model_fields_set else {}
    )
    return serve.deployment(
        name=INGRESS,
        max_ongoing_requests=100_000,  # the middleware limits requests, and lets /health through
        max_surge_percent=settings.ingress.surge_percent,
        health_check_period_s=1,
        health_check_timeout_s=30,
        graceful_shutdown_timeout_s=settings.ingress.graceful_shutdown_s,
        graceful_shutdown_wait_loop_s=0.5,
        user_config=models,
        **settings.ingress.deployment(settings.ingress.max_ongoing_requests),
        **logs,
    )(Ingress).bind(settings, runner, *bound)


def _model(args: ModelArgs, prefix: str = "") -> serve.Application:
    """TextFrontend, with VoiceEncoder, GptScheduler ← Gpt and VocoderScheduler ← Vocoder.

    An application is a tree, so the text frontend is its root, although it does not use the others.
    """
    options = args.stage_options(Path(args.data_dir).expanduser(), args.name)
    gpt, vocoder = args.gpt, args.vocoder
    slots = None if gpt.slots == "auto" else gpt.slots
    queue: dict[str, Any] = {
        "max_backlog": gpt.max_backlog,
        "max_wait_s": gpt.max_wait_s,
        "max_start_s": gpt.max_start_s,
        "first_share": gpt.first_segment_share,
        "burst_slots": gpt.burst_slots,
    }
    quiet = _quiet(args.logs)
    # no limits on its queue, because its work belongs to accepted requests
    vocoders = _leased(Vocoder, vocoder, options, prefix, quiet, slots=vocoder.max_batch)
    if vocoder.bounds[0] == 0:  # a request at the Gpt starts one
        queue["next_stage"] = vocoders
    return _stage(TextFrontend, args.text_frontend, SHORT_CALLS, prefix, quiet).bind(
        options,
        args.hash,
        _stage(VoiceEncoder, args.voice_encoder, SHORT_CALLS, prefix, quiet).bind(options),
        _leased(Gpt, gpt, options, prefix, quiet, slots=slots, **queue),
        vocoders,
    )


def _quiet(logs: LogOptions) -> dict[str, Any]:
    """Without a line for each call, because those for status would hide the others."""
    return {**logs.serve, "enable_access_log": False}


def _stage(
    replica: type, section: Scaled, router: dict[str, float], prefix: str, logs: dict[str, Any]
) -> serve.Deployment:
    """A stage whose replicas take one query at a time."""
    return serve.deployment(
        name=f"{prefix}{replica.__name__}",
        max_ongoing_requests=1,
        health_check_timeout_s=30,
        request_router_config=router,
        logging_config=logs,
        **COMMON,
        **section.deployment(),
    )(replica)


def _leased(
    replica: type,
    section: LeasedSettings,
    options: ModelOptions,
    prefix: str,
    logs: dict[str, Any],
    **own: Any,
) -> serve.Application:
    """A stage behind its scheduler, which keeps a lease on every replica. own: arguments of this scheduler alone."""
    smallest, largest = section.bounds
    scale = {}
    if (wanted := section.autoscaling) is not None:
        scale = {"utilization": wanted.target_utilization, "demand_s": wanted.look_back_period_s}
    deployment = serve.deployment(
        name=f"{prefix}{replica.__name__}Scheduler",
        num_replicas=1,
        max_ongoing_requests=100_000,
        graceful_shutdown_timeout_s=section.graceful_shutdown_s,  # its queries are those of its stage
        ray_actor_options={"num_cpus": section.scheduler_cpus},
        logging_config=logs,
        **COMMON,
    )(StageScheduler)
    return deployment.bind(
        _stage(replica, section, LEASES, prefix, logs).bind(options),
        max_queue=section.max_queue,
        min_replicas=smallest,
        max_replicas=largest,
        lease_s=section.lease_s,
        **scale,
        model=options.name,
        **own,
    )
