"""The scheduler benchmark: the ideal is that of the simulated device, and all designs return the right codes."""

from __future__ import annotations

import pytest

from benchmarks.scheduler import ALONE, BATCH, OURS, Heard, Shape


def test_the_ideal_is_full_batches_without_pauses():
    assert Shape(replicas=2, slots=8).codes_per_s == pytest.approx(2 * 8 / 0.0056)
    assert Shape(replicas=1, slots=1).codes_per_s == pytest.approx(1 / 0.0042)


def test_latency_counts_from_when_a_request_was_due():
    one = Heard(due=1.0, codes=20, arrivals=[(1.5, 10), (2.0, 10)])
    assert (one.first_s, one.total_s) == (0.5, 1.0)


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_every_design_runs_and_none_exceeds_the_ideal(run, tmp_path):
    result = run("scheduler", "--slots", "2", "--requests", "40", "--codes", "20", "--repeat", "1")
    assert set(result["designs"]) == {OURS, ALONE, BATCH}
    assert [row["requests"] for row in result["designs"].values()] == [40, 16, 32], "at least two per client"
    for row in result["designs"].values():
        assert 0 < row["share"] < 1.05
        assert 0 < row["first_s"]["p50"] <= row["latency_s"]["p50"] <= row["latency_s"]["p99"]
    assert set(result["met"]) == {"share", "p99_s"}
    assert (tmp_path / "scheduler.png").exists()
