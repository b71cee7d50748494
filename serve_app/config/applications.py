"""A configuration as Serve applications: one for the ingress and the runner of jobs, and one for each model.

Serve replaces a whole application when its `args` change, but hands a changed `user_config` to running replicas. The
models are in the latter for the ingress, so a redeployment restarts the models that have changed, and nothing else.
"""

from __future__ import annotations

from typing import Any

from serve_app.config.settings import Settings

INGRESS, JOB_RUNNER = "Ingress", "JobRunner"
STAGES = ("TextFrontend", "VoiceEncoder", "GptScheduler", "Gpt", "VocoderScheduler", "Vocoder")


def deployment_names(settings: Settings) -> list[str]:
    """The names of all deployments in one application."""
    models = (prefix(settings, model) + stage for model in settings.served for stage in STAGES)
    return [INGRESS, JOB_RUNNER, *models]


def prefix(settings: Settings, model: str) -> str:
    """The prefix of the names of a model's stages where all models share one application."""
    return "" if settings.models is None else f"{model}."


def expected_models(settings: Settings, *, apart: bool) -> dict[str, Any]:
    """The `user_config` of the ingress and of the runner of jobs: where each model's stages are.

    apart: each model in an application of its own.
    """
    models = {
        name: {
            "application": name if apart else None,
            "prefix": "" if apart else prefix(settings, name),
            "version": settings.model_args(name).hash,
        }
        for name in settings.served
    }
    keeps = any(model.voice_encoder.keep_request_references for model in settings.served.values())
    return {"default": settings.default, "models": models, "keep_request_references": keeps}


def expanded(config: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """A Serve config with an application of the ingress and the runner of jobs, and one of each model.

    config: with everything in one application.
    """
    (whole,) = config["applications"]
    shared = {key: value for key, value in whole.items() if key not in ("args", "deployments", "import_path")}
    overrides = {entry["name"]: entry for entry in whole.get("deployments", [])}
    found = {"user_config": expected_models(settings, apart=True)}
    applications = [
        {
            **shared,
            "import_path": "serve_app.app:ingress",
            "args": settings.service().model_dump(exclude_unset=True),
            "deployments": [
                {**overrides.get(name, {"name": name}), **found} for name in (INGRESS, JOB_RUNNER)
            ],
        }
    ]
    for name in settings.served:
        names = {prefix(settings, name) + stage: stage for stage in STAGES}
        theirs = [{**overrides[full], "name": stage} for full, stage in names.items() if full in overrides]
        application = {
            **shared,
            "name": name,
            "route_prefix": None,
            "import_path": "serve_app.app:model",
            "args": settings.model_args(name).model_dump(exclude_unset=True),
        }
        applications.append(application | ({"deployments": theirs} if theirs else {}))
    return {**config, "applications": applications}
