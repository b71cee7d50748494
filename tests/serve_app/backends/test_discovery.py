"""When a model counts as failed, and why, from what Serve says."""

from __future__ import annotations

import time

import pytest
from ray.serve.schema import ApplicationStatusOverview, DeploymentStatusOverview

from serve_app.backends.discovery import failure, refusals, shortage

FAILED = """The deployment failed to start 3 times in a row. Error:
ray::ServeReplica:small:Gpt.initialize_and_get_metadata() (pid=71, ip={node}, actor_id=b1, repr=<x>)
  File "replica.py", line 1, in initialize
RuntimeError: Traceback (most recent call last):
deployments.contract.errors.CheckpointError: gpt.pth: not found in the model folder
"""


def test_a_refusal_names_the_node_if_it_is_another_machine() -> None:
    said = "gpt.pth: not found in the model folder"
    assert refusals([FAILED.format(node="127.0.0.1")] * 2) == [said]
    assert refusals([FAILED.format(node="10.0.0.2"), FAILED.format(node="127.0.0.1")]) == [
        f"{said} (on node 10.0.0.2)",
        said,
    ]
    assert refusals(["The deployment failed: OSError: no space left"]) == []


AGAIN = "A replica failed to start with exception. Retrying{}. Error:\n" + FAILED.format(node="10.0.0.2")
ELSEWHERE = "gpt.pth: not found in the model folder (on node 10.0.0.2)"


def application(status: str, stage: str, message: str = "", **states: int) -> ApplicationStatusOverview:
    gpt = DeploymentStatusOverview(
        status=stage,
        status_trigger="HEALTH_CHECK_FAILED",
        replica_states=states or {"STARTING": 1},
        message=message,
    )
    return ApplicationStatusOverview(
        status=status, message="", last_deployed_time_s=time.time(), deployments={"Gpt": gpt}
    )


@pytest.mark.parametrize(
    ("status", "stage", "message", "reason"),
    [
        ("RUNNING", "HEALTHY", "", None),
        ("DEPLOYING", "UPDATING", "", None),
        ("UNHEALTHY", "UNHEALTHY", "a replica's health check failed", None),  # Serve starts another
        ("UNHEALTHY", "UNHEALTHY", "x.CheckpointError: gpt.pth: not found", "gpt.pth: not found"),
        ("DEPLOY_FAILED", "DEPLOY_FAILED", "x.ConfigError: too many slots", "too many slots"),
        ("DEPLOY_FAILED", "UPDATING", "", "its stages do not start; the log of the service has the reason."),
    ],
)
def test_a_model_has_failed_when_serve_gives_up_or_a_stage_refuses(status, stage, message, reason):
    found = application(status, stage, message)
    assert failure(found, found.deployments.values()) == reason


@pytest.mark.parametrize(
    ("stage", "message", "running", "short", "failed"),
    [
        ("UPDATING", AGAIN.format(""), 1, ELSEWHERE, None),
        ("UNHEALTHY", AGAIN.format(""), 1, ELSEWHERE, None),  # the replica of the other node died
        ("UNHEALTHY", AGAIN.format(""), 0, None, ELSEWHERE),
        ("UPDATING", AGAIN.format(" 2 more time(s)"), 1, None, None),  # perhaps the other one is of an older version
        ("DEPLOY_FAILED", FAILED.format(node="10.0.0.2"), 1, None, ELSEWHERE),
        ("UPDATING", "A replica failed to start with exception. Retrying. Error:\nOSError: no space", 1, None, None),
        ("HEALTHY", "", 2, None, None),
    ],
)  # fmt: skip
def test_a_model_that_runs_on_one_node_only_is_limited_and_not_failed(stage, message, running, short, failed):
    found = application("DEPLOYING", stage, message, RUNNING=running, STARTING=1)
    assert shortage(found.deployments.values()) == short
    assert failure(found, found.deployments.values()) == failed
