"""Processes killed under load: no request fails, and no stream has a repeat or a gap."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import numpy as np
from ray import serve

from tests.serve.sim_stage import application, expected
from tests.serve.test_stage import speak, status_of, until

CODES = 120


async def under_load(stage, count: int, fault) -> list[np.ndarray]:
    begun = (await status_of(stage)())["completed"]
    tasks = [asyncio.create_task(speak(stage, seed, CODES)) for seed in range(count)]
    await until(status_of(stage), lambda status: status["active"] >= 6 and status["completed"] > begun)
    await fault()
    return await asyncio.gather(*tasks)


def assert_undisturbed(results: list[np.ndarray]) -> None:
    for seed, result in enumerate(results):
        assert np.array_equal(result, expected(seed, CODES)), f"request {seed}"


async def test_a_replica_killed_under_load(sim_stage):
    stage = sim_stage(replicas=2, slots=4)
    await until(status_of(stage), lambda status: len(status["replicas"]) == 2)

    async def kill() -> None:
        busy = (await status_of(stage)())["replicas"].values()
        os.kill(next(iter(busy))["pid"], signal.SIGKILL)

    assert_undisturbed(await under_load(stage, 32, kill))
    status = await status_of(stage)()
    assert status["deaths"] >= 1 and status["requeued"] >= 1 and status["failed"] == 0


async def test_the_only_replica_killed_under_load(sim_stage):
    stage = sim_stage(replicas=1, slots=8)

    async def kill() -> None:
        (replica,) = (await status_of(stage)())["replicas"].values()
        os.kill(replica["pid"], signal.SIGKILL)

    assert_undisturbed(await under_load(stage, 16, kill))


async def test_the_scheduler_killed_under_load(sim_stage):
    stage = sim_stage(replicas=1, slots=8)
    old = (await status_of(stage)())["pid"]

    async def kill() -> None:
        os.kill(old, signal.SIGKILL)

    # The replica is full at that moment. A lease that did not notice would hold its only query forever.
    assert_undisturbed(await under_load(stage, 24, kill))
    status = await until(status_of(stage), lambda status: status["leases"] == 1)
    assert status["pid"] != old


async def test_a_rollout_under_load(sim_stage):
    """Scheduler and replicas are replaced while busy, without loss."""
    stage = sim_stage(slots=4, max_queue=400)
    before = set((await status_of(stage)())["replicas"])
    over = False

    async def one_after_the_other(client: int) -> int:
        spoken = 0
        while not over:
            seed = 1000 * client + spoken
            assert np.array_equal(await speak(stage, seed, CODES), expected(seed, CODES)), seed
            spoken += 1
        return spoken

    def roll_out() -> None:
        changed = application(slots=4, step_s=0.005, max_queue=400)
        serve.run(changed, name=stage.app, route_prefix=None)
        while "STOPPING" in serve.status().applications[stage.app].deployments["Sim"].replica_states:
            time.sleep(0.5)

    clients = [asyncio.create_task(one_after_the_other(client)) for client in range(8)]
    await asyncio.sleep(2)
    await asyncio.to_thread(roll_out)
    over = True
    assert all(spoken > 1 for spoken in await asyncio.gather(*clients))
    status = await until(status_of(stage), lambda status: set(status["replicas"]) - before)
    assert status["failed"] == 0
