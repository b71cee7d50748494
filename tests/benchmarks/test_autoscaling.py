"""The benchmark of autoscaling: its load, the comparison of signals, and at night the whole of it."""

from __future__ import annotations

import pytest

from benchmarks import _signals
from benchmarks.autoscaling import Phase, arrivals
from serve_app.config.stages import Autoscaling


def test_the_requests_come_in_order_and_at_the_rate_of_their_phase():
    times = list(arrivals([Phase("low", 1, 400), Phase("high", 10, 400)], seed=1))
    assert times == sorted(times) and times[-1] < 800
    low = sum(at < 400 for at in times)
    assert 340 < low < 460 and 3800 < len(times) - low < 4200  # three standard deviations


def test_the_simulated_load_has_its_mean():
    load = _signals.in_flight(6.0, hours=2.0, seed=1)
    assert sum(load) / len(load) == pytest.approx(6.0, rel=0.05)


def test_bursts_keep_a_second_replica_only_if_lease_calls_are_the_signal():
    half, many = _signals.compared([4, 60], seed=1)
    assert half["demand_replicas"] < 1.2 < 1.5 < half["leases_replicas"]
    assert many["demand_full"] < 0.01 < many["leases_full"], "full replicas are no target"


def test_a_short_need_starts_no_replica():
    options = Autoscaling(max_replicas=9, upscale_delay_s=5.0, downscale_delay_s=10.0)
    ticks = round(1 / _signals.TICK_S)
    assert set(_signals.delayed([2] * 4 * ticks + [1] * 20 * ticks, options)) == {1}
    assert max(_signals.delayed([2] * 6 * ticks, options)) == 2


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_replicas_follow_the_load_on_three_nodes(run, tmp_path):
    found = run("autoscaling", "--plot", str(tmp_path / "plot.png"))
    low, high, after = found["phases"]
    assert low["gpt_at_end"] >= 1 and high["gpt_most"] == 4 and after["gpt_at_end"] < 4
    assert found["gpt_nodes_at_peak"] >= 2
    assert found["failed"] == [] and found["from_zero"]["status"] == 200
    assert (tmp_path / "plot.png").exists()
