"""A cluster of two nodes, one of which lacks what it should have: a model's files, or the GPU that it claims."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks import _cluster
from deployments.families.small.family import WEIGHTS

OTHER = "127.0.0.2"  # the address of the second node, on this machine too
SMALL = {"family": {"name": "small"}}
RECOVERS_S = 120.0


@contextmanager
def two_nodes(folder: Path, **node: Any) -> Iterator[_cluster.Cluster]:
    """A service with the model "good" on the head, and a second node with another home folder.

    node: more arguments for the second node.
    """
    homes = [folder / name for name in ("first", "second")]
    for home in homes:
        home.mkdir()
    os.environ["HOME"] = str(homes[0])
    with _cluster.running({"models": {"good": SMALL}}, nodes=1, cpus=4) as cluster:
        shutil.copytree(homes[0] / ".ray", homes[1] / ".ray")  # Ray's token
        cluster.add_node(4, node_ip_address=OTHER, env_vars={"HOME": str(homes[1])}, **node)
        yield cluster


def deployed(cluster: _cluster.Cluster, model: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Deploys the model "other" besides the good one. Returns what is missing."""
    missing = cluster.deploy({"models": {"good": SMALL, "other": model}, "default_model": "good"})
    return {"failed": missing.models, "limited": missing.replicas}


def state(cluster: _cluster.Cluster) -> dict[str, Any]:
    card = httpx.get(f"{cluster.service.url}/v1/models/other", timeout=30).json()
    return {"state": card["state"], "reason": card["reason"]}


def mended(cluster: _cluster.Cluster) -> dict[str, Any]:
    """The state of "other" once nothing is wrong with it; the ingress asks for it every few seconds."""
    deadline = time.monotonic() + RECOVERS_S
    while (found := state(cluster))["reason"] is not None and time.monotonic() < deadline:
        time.sleep(1.0)
    return found


def statuses(cluster: _cluster.Cluster) -> dict[str, int]:
    """Of a request to each model."""
    body = {"input": "Good morning.", "voice": "clara", "response_format": "wav"}
    url = f"{cluster.service.url}/v1/audio/speech"
    asked = {name: {**body, "model": name} for name in ("good", "other")}
    return {name: httpx.post(url, json=body, timeout=120).status_code for name, body in asked.items()}


def files_on_one_node(folder: Path) -> dict[str, Any]:
    # as docs/configuration.md advises for a cluster
    os.environ["RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT"] = "10"
    found: dict[str, Any] = {}
    with two_nodes(folder) as cluster:
        (folder / "first" / "voice").symlink_to(WEIGHTS)
        gpt = {"replicas": 2, "max_replicas_per_node": 1}
        family = {"name": "small", "options": {"weights": "~/voice"}}
        found["missing"] = deployed(cluster, {"family": family, "gpt": gpt})
        found["limited"], found["statuses"] = state(cluster), statuses(cluster)
        (folder / "second" / "voice").symlink_to(WEIGHTS)
        found["mended"] = mended(cluster)
    return found


def a_gpu_that_is_not_there(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with two_nodes(folder, num_gpus=1) as cluster:
        found["missing"] = deployed(cluster, {**SMALL, "gpt": {"num_gpus": 1}})
        found["failed"], found["statuses"] = state(cluster), statuses(cluster)
        found["then missing"] = deployed(cluster, SMALL)
        found["mended"], found["then statuses"] = mended(cluster), statuses(cluster)
    return found


def in_its_own_process(scene: Callable[[Path], dict[str, Any]], folder: Path) -> dict[str, Any]:
    """What `scene` finds. In this process, Ray may be connected to the cluster of other tests."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(scene, folder).result()


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_model_whose_files_one_node_lacks_speaks_on_the_other(tmp_path: Path) -> None:
    found = in_its_own_process(files_on_one_node, tmp_path)
    said = f"family.options.weights: no small.json in the folder 'voice' (on node {OTHER})"
    assert found == {
        "missing": {"failed": {}, "limited": {"other": said}},
        "limited": {"state": "ready", "reason": said},
        "statuses": {"good": 200, "other": 200},
        "mended": {"state": "ready", "reason": None},
    }


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_node_that_claims_a_gpu_it_lacks_is_named_and_other_models_speak(tmp_path: Path) -> None:
    found = in_its_own_process(a_gpu_that_is_not_there, tmp_path)
    said = found["failed"]["reason"]
    assert said.startswith("gpt.num_gpus: Ray has reserved 1 GPU for this replica, and none can be used here")
    assert said.endswith(f"(on node {OTHER})")
    assert found == {
        "missing": {"failed": {"other": said}, "limited": {}},
        "failed": {"state": "failed", "reason": said},
        "statuses": {"good": 200, "other": 503},
        "then missing": {"failed": {}, "limited": {}},
        "mended": {"state": "ready", "reason": None},
        "then statuses": {"good": 200, "other": 200},
    }
