"""A configuration as Serve applications: one for the ingress and one for each model.

Serve replaces a whole application when its `args` change, but hands a changed `user_config` to running replicas. The
models are in the latter for the ingress, so a redeployment restarts the models that have changed, and nothing else.
"""

from __future__ import annotations

from typing import Any

from serve_app.config.settings import Settings

INGRESS = "Ingress"
STAGES = ("TextFrontend", "VoiceEncoder", "GptScheduler", "Gpt", "VocoderScheduler", "Vocoder")


def deployment_names(settings: Settings) -> list[str]:
    """The names of all deployments in one application."""
    return [INGRESS, *(prefix(settings, model) + stage for model in settings.served for stage in STAGES)]


def prefix(settings: Settings, model: str) -> str:
    """The prefix of the names of a model's stages where all models share one application."""
    return "" if settings.models is None else f"{model}."


def expected_models(settings: Settings, *, apart: bool) -> dict[str, Any]:
    """The ingress's `user_config`: where each model's stages are. apart: each model in an application of its own."""
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
    """A Serve config with one application for the ingress and one for each model, from one with everything in one."""
    (whole,) = config["applications"]
    shared = {key: value for key, value in whole.items() if key not in ("args", "deployments", "import_path")}
    overrides = {entry["name"]: entry for entry in whole.get("deployments", [])}
    ingress = overrides.get(INGRESS, {"name": INGRESS})
    applications = [
        {
            **shared,
            "import_path": "serve_app.app:ingress",
            "args": settings.service().model_dump(exclude_unset=True),
            "deployments": [{**ingress, "user_config": expected_models(settings, apart=True)}],
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
