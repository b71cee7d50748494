"""Why a model cannot start, from what Serve says."""

from __future__ import annotations

from serve_app.backends.discovery import refusals

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
