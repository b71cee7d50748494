"""The scheduler and its replicas on a real Ray, with a simulated device: work, limits, cancellation, scaling."""

from __future__ import annotations

import asyncio
import time
import urllib.request

import numpy as np
import pytest

from deployments.contract.errors import Overloaded
from deployments.leases.loop import REPORT_PERIOD_S
from deployments.roll_out import ReplicaStatus
from deployments.scheduler import wanted_leases
from serve_app.config.stages import POLICY
from tests.serve.sim_stage import FIRST, expected, request

ENDLESS = 10**9


async def speak(stage, seed: int, codes: int, admitted: bool = False, priority: int = 0) -> np.ndarray:
    runs = [
        run.codes
        async for run in stage.backend.generate(
            request(seed, codes), id=f"r{seed}", priority=priority, admitted=admitted
        )
    ]
    return np.concatenate(runs)


async def until(ask, holds, timeout: float = 60.0):
    async with asyncio.timeout(timeout):
        while not holds(answer := await ask()):
            await asyncio.sleep(0.05)
        return answer


def status_of(stage):
    return lambda: stage.scheduler.status.remote()


async def settled(stage) -> tuple[dict, int]:
    """The scheduler's status and the replica's steps, after the replica has reported that it is idle."""
    await asyncio.sleep(REPORT_PERIOD_S + 1)
    status = await until(
        status_of(stage), lambda status: len(status["replicas"]) == 1 and not status["active"]
    )
    (replica,) = status["replicas"].values()
    return status, replica["stats"]["steps"]


def test_the_dashboard_is_up(cluster):
    with urllib.request.urlopen(cluster.dashboard, timeout=30) as page:
        assert page.status == 200
        assert "Ray" in page.read().decode()


async def test_many_requests_share_batches(sim_stage):
    stage = sim_stage(slots=8)
    begun, steps_before = await settled(stage)
    results = await asyncio.gather(*(speak(stage, seed, 40) for seed in range(32)))
    assert all((result == expected(seed, 40)).all() for seed, result in enumerate(results))
    after, steps = await settled(stage)
    assert after["completed"] == begun["completed"] + 32
    assert 32 * 40 / 8 <= steps - steps_before < 32 * 40 / 2, "no batches were formed"


async def test_first_segments_interrupt_later_ones_and_no_code_is_lost(sim_stage):
    stage = sim_stage(slots=4, first_share=0.5)
    later = [asyncio.create_task(speak(stage, seed, 400, True, 1)) for seed in range(12)]
    await until(status_of(stage), lambda status: status["active"] == 4)
    waits = []
    for seed in range(100, 140):
        began = time.perf_counter()
        assert (await speak(stage, seed, 20) == expected(seed, 20)).all()
        waits.append(time.perf_counter() - began)
    results = await asyncio.gather(*later)
    assert all((result == expected(seed, 400)).all() for seed, result in enumerate(results))
    status = await status_of(stage)()
    print(f"\n{status['interrupted']} interruptions; a first segment took {max(waits):.2f} s at most")
    assert status["interrupted"] >= 10


async def test_a_busy_lease_continues_over_many_queries(sim_stage):
    stage = sim_stage(slots=4, reports_per_query=5)
    before = (await settled(stage))[0]
    results = await asyncio.gather(*(speak(stage, seed, 300) for seed in range(12)))
    assert all((result == expected(seed, 300)).all() for seed, result in enumerate(results))
    after = (await settled(stage))[0]
    assert after["completed"] == before["completed"] + 12
    assert (after["requeued"], after["deaths"]) == (before["requeued"], before["deaths"])
    (replica,) = after["replicas"].values()
    assert replica["queries"] - replica["leases"] > 10


async def test_a_stream_begins_before_it_ends(sim_stage):
    stage = sim_stage(slots=2, max_queue=2)
    stream = stage.backend.generate(request(1, ENDLESS), id="endless", priority=0, admitted=False)
    assert ((await anext(stream)).codes == expected(1, FIRST)).all()
    await stream.aclose()


async def test_a_caller_that_leaves_frees_the_slot(sim_stage):
    stage = sim_stage(slots=2, max_queue=2)
    before = await status_of(stage)()
    streams = [
        stage.backend.generate(request(seed, ENDLESS), id=f"e{seed}", priority=0, admitted=False)
        for seed in range(2)
    ]
    for stream in streams:
        await anext(stream)
    third = asyncio.create_task(speak(stage, 3, 10))
    await until(status_of(stage), lambda status: status["pending"] == 1)
    left = time.perf_counter()
    await streams[0].aclose()
    assert (await third == expected(3, 10)).all()
    print(f"\nclosed stream: the next in line was done {time.perf_counter() - left:.3f} s later")

    fourth = asyncio.create_task(speak(stage, 4, ENDLESS))  # a task cancelled while waiting for events
    await until(status_of(stage), lambda status: status["active"] == 2)
    fourth.cancel()
    left = time.perf_counter()
    assert (await speak(stage, 5, 10) == expected(5, 10)).all()
    print(f"cancelled task: the next in line was done {time.perf_counter() - left:.3f} s later")
    await streams[1].aclose()
    status = await until(status_of(stage), lambda status: status["active"] == 0)
    assert status["cancelled"] == before["cancelled"] + 3


async def test_a_full_queue_is_refused_with_a_retry_time(sim_stage):
    stage = sim_stage(slots=2, max_queue=2)
    streams = [
        stage.backend.generate(request(seed, ENDLESS), id=f"e{seed}", priority=0, admitted=False)
        for seed in range(2)
    ]
    for stream in streams:
        await anext(stream)
    waiting = [asyncio.create_task(speak(stage, seed, 10)) for seed in (10, 11)]
    await until(status_of(stage), lambda status: status["pending"] == 2)
    with pytest.raises(Overloaded) as refused:
        await speak(stage, 12, 10)
    assert refused.value.retry_after >= 1
    later = asyncio.create_task(speak(stage, 13, 10, admitted=True))
    await until(status_of(stage), lambda status: status["pending"] == 3)
    for stream in streams:
        await stream.aclose()
    for seed, task in zip((10, 11, 13), (*waiting, later), strict=True):
        assert (await task == expected(seed, 10)).all()


def test_wanted_leases_follow_the_work_within_the_limits():
    assert [wanted_leases(n, 8, 1, 3) for n in (0, 1, 8, 9, 16, 17, 400)] == [1, 1, 1, 2, 2, 3, 3]
    assert wanted_leases(0, 8, 0, 3) == 0
    assert [wanted_leases(n, 8 * 0.75, 0, 3) for n in (1, 6, 7, 12, 13)] == [1, 1, 2, 2, 3]


def test_a_replica_without_health_checks_may_be_stopping():
    assert ReplicaStatus({"unasked_s": 11.0}, at=98.0).unasked(now=100.0) == 13.0
    assert ReplicaStatus({}, at=99.0).unasked(now=100.0) == 1.0
    assert ReplicaStatus({"unasked_s": 11.0}, at=50.0).unasked(now=100.0) == 0, "gone, or idle"


async def test_the_demand_makes_the_autoscaler_add_a_replica(sim_stage):
    from ray import serve

    stage = sim_stage(
        slots=2,
        min_replicas=1,
        max_replicas=2,
        autoscaling={
            "min_replicas": 1,
            "max_replicas": 2,
            "target_ongoing_requests": 0.8,
            "upscale_delay_s": 0.5,
            "look_back_period_s": 1.0,
            "metrics_interval_s": 0.5,
            "policy": {"policy_function": POLICY},
        },
    )
    streams = [
        stage.backend.generate(request(seed, ENDLESS), id=f"e{seed}", priority=0, admitted=False)
        for seed in range(4)
    ]
    for stream in streams:  # the last two need a second replica
        await anext(stream)
    states = serve.status().applications[stage.app].deployments["Sim"].replica_states
    assert states["RUNNING"] == 2
    for stream in streams:
        await stream.aclose()
