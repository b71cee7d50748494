"""The real application without a Gpt and a Vocoder: a request wakes both, and they go when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serve.conftest import Cluster, Say, Service
from tests.serve.test_stage import until

APP, STAGES = "asleep", ("Gpt", "Vocoder")
SLEEPS = {"min_replicas": 0, "max_replicas": 2, "look_back_period_s": 1.0, "metrics_interval_s": 0.5}
BRIEF = {**SLEEPS, "upscale_delay_s": 0.5, "downscale_delay_s": 1.0}
ARGS: dict[str, Any] = {
    "family": {"name": "small"},
    "gpt": {"autoscaling": BRIEF, "lease_s": 1.0},
    "vocoder": {"autoscaling": BRIEF, "lease_s": 1.0},
}


@pytest.fixture(scope="module")
def asleep(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    from ray import serve

    from serve_app.app import build

    args = {**ARGS, "data_dir": str(tmp_path_factory.mktemp("data"))}
    serve.run(build(args), name=APP, route_prefix="/")
    yield Service(cluster.http, (), args)
    serve.delete(APP)


async def replicas() -> dict[str, dict[str, int]]:
    """The replicas of each stage by their state."""
    from ray import serve

    stages: Any = (await asyncio.to_thread(serve.status)).applications[APP].deployments
    return {name: dict(stages[name].replica_states) for name in STAGES}


@pytest.mark.timeout(180)
async def test_from_no_replica_to_one_that_answers_and_back(asleep: Service):
    async with httpx.AsyncClient(timeout=120) as client:

        async def ready() -> int:
            return (await client.get(f"{asleep.http}/ready")).status_code

        await until(ready, lambda code: code == 200)
        assert await replicas() == {"Gpt": {}, "Vocoder": {}}
        said = asyncio.create_task(asleep.say(client, Say("Good morning.", "alloy", 1)))
        # the Vocoder does not wait for the Gpt's first codes
        await until(replicas, lambda now: all("STARTING" in now[name] for name in STAGES))
        assert not said.done()
        assert len(await said) > 10_000
        await until(replicas, lambda now: not any(now.values()))
        status = await asleep.stage(client, "gpt")
        assert (status["completed"], status["refused"], status["leases"], status["demand"]) == (1, 0, 0, 0)
