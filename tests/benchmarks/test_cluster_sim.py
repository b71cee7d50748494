"""The simulated cluster: its clock jumps, its device is the ideal, and it charges the scheduler's CPU time."""

from __future__ import annotations

import asyncio
from argparse import Namespace

import pytest

from benchmarks._simulated_stage import Shape
from benchmarks._simulation import StepTimes, VirtualLoop, event_end
from benchmarks.cluster_sim import saturated

STEPS = StepTimes([1, 2, 4], [0.002, 0.003, 0.007])


def test_steps_are_interpolated_and_extrapolated():
    assert [STEPS(rows) for rows in (1, 2, 3, 4, 6)] == pytest.approx([0.002, 0.003, 0.005, 0.007, 0.011])
    assert Shape(3, 4, STEPS).codes_per_s == pytest.approx(3 * 4 / 0.007)


@pytest.mark.parametrize(
    ("emit_every", "expected"), [(16, [15, 31, 35, 51, 67, 75, 91]), (80, [15, 35, 75, 155])]
)
def test_events_end_with_chunks_and_every_so_many_codes_in_between(emit_every, expected):
    ends = [0]
    while ends[-1] < 80:
        ends.append(event_end(ends[-1], emit_every))
    assert ends[1:] == expected


def test_virtual_time_jumps_to_the_next_timer_and_never_waits_for_nothing():
    loop = VirtualLoop()
    loop.run_until_complete(asyncio.wait_for(asyncio.sleep(86_400.0), 90_000.0))
    assert loop.time() == pytest.approx(86_400.0)
    with pytest.raises(RuntimeError, match="no timer"):
        loop.run_until_complete(asyncio.Event().wait())
    loop.close()


def test_a_small_cluster_comes_near_its_ideal(run, tmp_path):
    words = ("--slots", "4", "--codes", "40", "--warm-up", "1", "--seconds", "2")
    (row,) = run("cluster_sim", "--replicas", "4", *words)["rows"]
    full, some = row["saturated"], row["random"]
    assert 0.8 < full["share"] < 1.02
    assert full["refused"] == some["refused"] == 0
    assert full["sequences"] > 20 and full["us_per_sequence"] > 0
    assert 0 < some["first_s"]["p50"] <= some["first_s"]["p99"]
    assert (tmp_path / "cluster_sim.png").exists()


def test_a_slow_scheduler_keeps_its_replicas_waiting():
    options = Namespace(slots=4, codes=40, segments=4, warm_up=1.0, seconds=2.0, seed=1)
    row = saturated(Shape(4, 4, STEPS, message_us=10_000.0), options)
    assert row["share"] < 0.5, "each message takes 10 ms of its scheduler"
    assert row["scheduler_busy"] > 0.9
