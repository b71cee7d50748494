"""The graphs of the shipped configs, without starting them."""

from __future__ import annotations

import pytest
from ray.serve._private.build_app import build_app

from deployments.contract.errors import ConfigError
from serve_app.app import build
from serve_app.config.file import default_config_path, load_config

STAGES = {"TextFrontend", "VoiceEncoder", "Gpt", "Vocoder"}


def test_every_stage_takes_one_query_at_a_time_and_all_fit_on_two_cores():
    config, _ = load_config(default_config_path(), environ={})
    built = build_app(build(config["applications"][0]["args"]), name="chorale")
    deployments = {deployment.name: deployment for deployment in built.deployments}
    assert deployments.keys() == STAGES | {"Ingress", "JobRunner", "GptScheduler", "VocoderScheduler"}
    for name, deployment in deployments.items():
        assert (deployment.max_ongoing_requests == 1) == (name in STAGES)
    assert sum(deployment.ray_actor_options["num_cpus"] for deployment in deployments.values()) <= 1.6


def test_the_builder_refuses_unknown_arguments():
    with pytest.raises(ConfigError, match=r"gtp: unknown key; allowed: .*gpt"):
        build({"gtp": {}})
