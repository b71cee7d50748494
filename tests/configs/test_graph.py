"""The graphs of the shipped configs, without starting them."""

from __future__ import annotations

import math

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


def test_a_stopped_replica_has_the_time_that_its_section_gives_it():
    """Serve's default would cut streams after 20 s."""
    args = {name: {"graceful_shutdown_s": 90} for name in ("ingress", "gpt", "vocoder")}
    built = build_app(build(args), name="chorale").deployments
    given = {
        deployment.name: deployment._deployment_config.graceful_shutdown_timeout_s for deployment in built
    }
    for name in ("Ingress", "GptScheduler", "Gpt", "VocoderScheduler", "Vocoder"):
        assert given[name] == 90, name


@pytest.mark.parametrize(
    ("ingress", "replicas", "more"),
    [
        ({}, 1, 1),
        ({"replicas": 3}, 3, 1),
        ({"replicas": 8}, 8, 1),
        ({"autoscaling": {"min_replicas": 1, "max_replicas": 4}}, 1, 1),
        ({"autoscaling": {"min_replicas": 1, "max_replicas": 4}}, 4, 1),
        ({"max_replicas_per_node": 1}, 1, 0),  # a node may have no room for it
    ],
)
def test_a_roll_out_starts_one_ingress_before_it_stops_one(ingress, replicas, more):
    built = build_app(build({"ingress": ingress}), name="chorale").deployments
    (deployed,) = [deployment for deployment in built if deployment.name == "Ingress"]
    assert (
        math.ceil(deployed._deployment_config.max_surge_percent * replicas / 100) == more
    )  # as Serve rounds


def test_the_builder_refuses_unknown_arguments():
    with pytest.raises(ConfigError, match=r"gtp: unknown key; allowed: .*gpt"):
        build({"gtp": {}})
