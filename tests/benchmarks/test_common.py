"""The statistics of the benchmarks are correct, and processes get the right names."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import _common, _memory, _plot, _statistics


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(6, 2.4469), (10, 2.2281), (30, 2.0423), (48, 2.0106), (1000, 1.9623)]
)
def test_students_t_matches_the_tables(freedom, quantile):
    assert _statistics.student_t(0.975, freedom) == pytest.approx(quantile, abs=2e-3)
    assert _statistics.student_t(0.025, freedom) == pytest.approx(-quantile, abs=2e-3)


def test_percentiles():
    found = _statistics.percentiles(range(101))
    assert found == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    assert all(math.isnan(value) for value in _statistics.percentiles([]).values())


def noise(rng: np.random.Generator, count: int, rho: float) -> np.ndarray:
    """An AR(1) series."""
    series = rng.normal(size=count)
    for index in range(1, count):
        series[index] += rho * series[index - 1]
    return series


@pytest.mark.parametrize(("rho", "least"), [(0.0, 0.92), (0.5, 0.90), (0.8, 0.87)])
def test_a_series_without_a_trend_rarely_looks_like_one(rho, least):
    rng = np.random.default_rng(5)
    x = np.arange(50) * 20
    held = sum(_statistics.slope(x, noise(rng, 50, rho)).holds(0.0) for _ in range(400)) / 400
    assert least <= held <= 0.99


def test_random_allocator_steps_are_not_a_trend_but_a_leak_is():
    rng = np.random.default_rng(6)
    x = np.arange(50) * 20.0
    noisy = [1000 + 40 * (rng.random(50) < 0.1) + rng.normal(size=50) for _ in range(100)]
    assert sum(_statistics.slope(x, y).holds(0.0) for y in noisy) >= 90
    found = [_statistics.slope(x, y + 0.5 * x) for y in noisy]
    assert not any(one.holds(0.0) for one in found)
    assert sum(one.holds(0.5) for one in found) >= 90


def test_a_constant_series_has_no_slope():
    assert _statistics.slope(range(8), [7.0] * 8) == _statistics.Estimate(0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="at least 8"):
        _statistics.slope(range(7), range(7))


def test_the_bootstrap_interval_of_a_ratio_contains_the_true_value():
    rng = np.random.default_rng(7)
    words = rng.integers(4, 12, size=(200, 40))
    errors = rng.binomial(words, 0.2)
    found = [_statistics.ratio(e, w) for e, w in zip(errors, words, strict=True)]
    assert sum(one.holds(0.2) for one in found) >= 180
    assert found[0].value == pytest.approx(errors[0].sum() / words[0].sum())
    assert found[0].low < found[0].value < found[0].high
    assert found[0] == _statistics.ratio(errors[0], words[0]), "the same draws every time"


def test_a_paired_difference_shows_what_two_intervals_hide():
    rng = np.random.default_rng(8)
    words = np.full(40, 10)
    errors = rng.integers(0, 6, size=40)
    worse = errors + (np.arange(40) % 2)
    here, there = _statistics.ratio(worse, words), _statistics.ratio(errors, words)
    assert here.low < there.high
    assert not _statistics.ratio_difference(worse, words, errors, words).holds(0.0)
    assert _statistics.ratio_difference(errors, words, errors, words).figures() == {
        "value": 0.0,
        "low": 0.0,
        "high": 0.0,
    }


def test_a_ratio_of_medians():
    rng = np.random.default_rng(9)
    one = _statistics.ratio_of_medians(rng.normal(20, 1, size=60), rng.normal(10, 1, size=60))
    assert one.holds(2.0)
    assert not one.holds(1.0)


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["ray::ServeReplica:chorale:GptScheduler"], "GptScheduler"),
        (["ray::ServeReplica:chorale:Gpt.lease()"], "Gpt"),
        (["ray::ProxyActor"], "ProxyActor"),
        (["ray::IDLE"], _memory.RAY),
        (["/usr/bin/raylet", "--session", "dashboard"], "Ray: raylet"),
        (["python", "-u", "/ray/dashboard/dashboard.py", "--host=::"], "Ray: dashboard"),
    ],
)
def test_processes_are_named_by_their_role(command, part):
    assert _memory.part_of(command) == part
    assert _memory.part_of(command, is_root=True) == "chorale serve"


def test_a_plot_is_saved_next_to_its_results(tmp_path):
    out = tmp_path / "results" / "speed.json"
    with _plot.panels(out, "title", "left", "right") as (left, right):
        left.plot([1, 2], [3, 4])
        right.bar(["a"], [1])
    assert (tmp_path / "results" / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_every_benchmark_records_where_it_ran():
    assert {"cpu", "cores", "memory_gib", "load"} <= set(_common.machine())
    assert {"command", "commit", "time"} == set(_common.provenance("benchmarks.some"))
