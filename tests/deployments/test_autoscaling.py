from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve._private.common import DeploymentID, ReplicaID, TimeStampedValue
from ray.serve.autoscaling_policy import _apply_autoscaling_config
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from deployments.autoscaling import DEMAND, Demand, by_demand
from serve_app.config.stages import POLICY, Autoscaling, GptSettings

GPT = DeploymentID("Gpt", "small")


@pytest.fixture
def clock():
    return SimpleNamespace(now=0.0)


def context(reported: list[list[float]], running: int, calls: float = 0.0, **options: Any):
    """As Serve makes it. reported: what each replica reported, the newest last; calls: lease calls."""
    section = GptSettings(autoscaling=Autoscaling(max_replicas=9, upscale_delay_s=0.0, **options))
    replicas = [ReplicaID(f"r{n}", GPT) for n in range(running)]
    series = {
        replica: [TimeStampedValue(float(n), value) for n, value in enumerate(values)]
        for replica, values in zip(replicas, reported, strict=False)
    }
    return AutoscalingContext(
        deployment_id=GPT,
        deployment_name="Gpt",
        app_name="small",
        current_num_replicas=running,
        target_num_replicas=running,
        running_replicas=replicas,
        total_num_requests=calls,
        total_queued_requests=0.0,
        aggregated_metrics={},
        raw_metrics={DEMAND: series} if reported else {},
        capacity_adjusted_min_replicas=0,
        capacity_adjusted_max_replicas=9,
        policy_state={},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=None,
        config=AutoscalingConfig(**section.deployment()["autoscaling_config"]),
    )


def test_the_mean_of_a_steady_figure_is_the_figure(clock):
    demand = Demand(10.0, lambda: clock.now)
    demand.set(3.0)
    clock.now = 100.0
    assert demand.set(0.0) == pytest.approx(3.0)
    assert demand.set(7.0) == pytest.approx(3.0), "no time has passed"


def test_a_steady_rise_is_seen_half_a_window_later(clock):
    demand, mean = Demand(10.0, lambda: clock.now), 0.0
    for tick in range(10_000):
        clock.now = tick / 100
        mean = demand.set(clock.now)
    assert mean == pytest.approx(clock.now - 5.0, abs=0.02)


def test_a_short_burst_needs_no_second_replica(clock):
    demand, asked = Demand(10.0, lambda: clock.now), []
    for second in range(60):
        clock.now = float(second)
        demand.set(0.5)
        clock.now += 0.7
        asked.append(demand.set(1.5))  # for 0.3 s of each second: 0.8 on average
    assert 0.75 < asked[-1] < 0.85


@pytest.mark.parametrize(
    ("reported", "running", "wanted"),
    [
        ([[0.1]], 1, 1),
        ([[9.0, 0.8]], 1, 1),  # filled to the target
        ([[0.81]], 1, 2),
        ([[0.0, 2.5], [9.0, 0.0]], 2, 4),  # the second has no lease any more
        ([[2.5], []], 2, 4),  # the second has not reported yet
        ([[0.0]], 1, 0),
        ([], 3, 3),
    ],
)
def test_serve_gets_the_replicas_that_the_demand_fills(reported, running, wanted):
    asked = context(reported, running, downscale_delay_s=0.0)
    policy = _apply_autoscaling_config(asked.config.policy.get_policy())
    assert policy(asked)[0] == wanted


def test_a_waiting_lease_call_starts_the_first_replica():
    policy = _apply_autoscaling_config(by_demand)
    assert policy(context([], 0, calls=1.0))[0] == 1
    assert policy(context([], 0))[0] == 0


def test_the_last_replica_may_stay_longer():
    longer = context([[0.0]], 1, downscale_delay_s=0.0, downscale_to_zero_delay_s=60.0)
    assert _apply_autoscaling_config(by_demand)(longer)[0] == 1
    assert context([], 1).config.downscale_to_zero_delay_s is None


def test_the_path_of_the_policy_is_right():
    assert f"{by_demand.__module__}:{by_demand.__name__}" == POLICY
