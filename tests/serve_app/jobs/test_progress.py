"""The figures of a job."""

from __future__ import annotations

from typing import Any

import psutil
import pytest

from deployments import families
from deployments.contract.options import ModelOptions
from serve_app.backends.local import LocalBackend
from serve_app.jobs import progress
from serve_app.jobs.segments import Counts


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (0.0, "0 s"),
        (59.4, "59 s"),
        (60.0, "1.0 min"),
        (90.0, "1.5 min"),
        (3599.0, "60.0 min"),
        (5400.0, "1.5 h"),
    ],
)
def test_a_duration_is_in_seconds_then_minutes_then_hours(seconds: float | None, text: str | None) -> None:
    assert progress.spoken_time(seconds) == text


def test_the_time_left_is_the_mean_of_the_last_three_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    batches = progress.Batches(size=2)
    batches.begin()
    assert batches.remaining(50) is None
    for clock[0] in (20.0, 30.0, 50.0, 80.0):
        batches.add(10, 1.0)
        batches.add(10, 1.0)
    assert [seconds for seconds, _ in batches.last] == [10.0, 20.0, 30.0]
    assert batches.remaining(50) == pytest.approx(50.0)  # 60 characters took 60 seconds


def test_a_batch_lasts_a_tenth_of_the_time_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    batches = progress.Batches(size=1)
    batches.begin()
    for clock[0] in (100.0, 109.0, 112.0):
        batches.add(10, 1.0)
    assert [seconds for seconds, _ in batches.last] == [100.0, 12.0]


def test_the_time_left_includes_the_files_as_the_last_job_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    batches, conversion = progress.Batches(1), progress.Conversion()
    batches.begin()
    now = 2.0
    batches.add(10, 4.0)
    conversion.measured(5.0, 50.0)
    figures = progress.figures(Counts(2, 1, 0, 40, 10, 64_000), batches, None, 16_000, conversion)
    assert figures["remaining_seconds"] == pytest.approx(
        30 / 10 * 2.0 + 0.1 * 16.0
    )  # 4 s of sound so far, 16 in all
    read_along = progress.figures(
        Counts(2, 1, 0, 40, 10, 64_000), batches, None, 16_000, conversion, copies=2
    )
    assert read_along["remaining_seconds"] == pytest.approx(30 / 10 * 2.0 + 0.1 * 2 * 16.0)


def test_progress_never_says_all_before_the_files_are_there() -> None:
    figures = progress.figures(
        Counts(2, 2, 0, 10, 10, 32_000), progress.Batches(1), "One", 16_000, progress.Conversion()
    )
    assert figures["audio_seconds"] == 2.0
    assert progress.progress("converting", figures, 3.0)["percent"] == 99.9
    assert progress.progress("done", figures, 3.0)["percent"] == 100.0
    assert progress.progress("queued", {}, 0.0)["percent"] == 0.0


def test_the_figures_of_the_cards_are_those_of_all_processes_on_them() -> None:
    def replica(held: int, card: str, busy: float | None) -> dict[str, Any]:
        load = {"id": card, "memory_used_bytes": 50, "memory_total_bytes": 100, "utilization": busy}
        return {"memory": {"device_reserved_bytes": held}, "load": load}

    replicas = {"a": replica(5, "one", 30.0), "b": replica(7, "one", 30.0), "c": replica(1, "two", 60.0)}
    status = {
        "device": {"name": "card", "kind": "cuda"},
        "stages": {"gpt": {"replicas": replicas}, "text_frontend": {"error": "x"}},
    }
    system = progress.machine()["system"]
    found = progress.device(status, system)
    assert found == {"name": "card", "memory_used_bytes": 13, "memory_total_bytes": 200, "utilization": 45.0}
    assert set(progress.device({}, system).values()) == {None}
    replicas.clear()
    replicas["a"] = replica(5, "one", None)
    assert progress.device(status, system)["utilization"] is None


async def test_the_figures_of_a_model_on_the_cpu_are_the_machine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(families.FAMILIES, "tiny", "tests.tiny.family")
    wanted = {"device": {"preference": "cpu"}, "family": {"name": "tiny"}, "gpt": {"slots": 1}}
    backend = LocalBackend(ModelOptions.model_validate(wanted)).wait()
    try:
        system = progress.machine()["system"]
        found = progress.device(await backend.status(), system)
    finally:
        backend.close()
    assert found["name"] and found["memory_total_bytes"] == psutil.virtual_memory().total
    assert found["memory_used_bytes"] == system["memory_used_bytes"] > 0
    assert 0 <= found["utilization"] == system["cpu_percent"] <= 100
