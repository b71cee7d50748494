"""A scheduler finds out what Serve is stopping."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from deployments import roll_out
from deployments.roll_out import ReplicaStatus, RollOut, watch_roll_out

NOW, LONG_AGO = 0.0, 3600.0  # seconds since the last health check


async def told(
    monkeypatch: pytest.MonkeyPatch, stage: str, scheduler: str, unasked: tuple[float, float]
) -> tuple[list[RollOut], int]:
    """What a scheduler is told, and how often it asked for the status. unasked: seconds, of replica and scheduler."""
    asked = 0

    def status() -> Any:
        nonlocal asked
        asked += 1
        states = {"Gpt": {"RUNNING": 1, stage: 1}, "GptScheduler": {"RUNNING": 1, scheduler: 1}}
        deployments = {name: SimpleNamespace(replica_states=found) for name, found in states.items()}
        return SimpleNamespace(applications={"app": SimpleNamespace(deployments=deployments)})

    monkeypatch.setattr(roll_out, "CHECK_S", 0.001)
    monkeypatch.setattr(roll_out.serve, "status", status)
    changes: list[RollOut] = []
    replica = ReplicaStatus({"unasked_s": unasked[0]}, time.monotonic())
    since = time.monotonic() - unasked[1]
    watch = watch_roll_out("app", "Gpt", "GptScheduler", {"a": replica}, lambda: since, changes.append)
    task = asyncio.create_task(watch)
    await asyncio.sleep(0.1)
    task.cancel()
    return changes, asked


async def test_nothing_is_asked_while_serve_checks_the_health(monkeypatch: pytest.MonkeyPatch):
    assert await told(monkeypatch, "STOPPING", "STOPPING", (NOW, NOW)) == ([], 0)


async def test_a_stopped_replica_of_the_stage(monkeypatch: pytest.MonkeyPatch):
    changes, _ = await told(monkeypatch, "STOPPING", "RUNNING", (LONG_AGO, NOW))
    assert changes == [RollOut(stage=True)]


async def test_a_scheduler_that_is_stopped_itself(monkeypatch: pytest.MonkeyPatch):
    changes, _ = await told(monkeypatch, "RUNNING", "STOPPING", (NOW, LONG_AGO))
    assert changes == [RollOut(scheduler=True)]


async def test_a_scheduler_whose_predecessor_is_stopped(monkeypatch: pytest.MonkeyPatch):
    changes, _ = await told(monkeypatch, "STOPPING", "STOPPING", (LONG_AGO, NOW))
    assert changes == [RollOut(stage=True)]


async def test_a_controller_that_is_late_stops_nothing(monkeypatch: pytest.MonkeyPatch):
    changes, asked = await told(monkeypatch, "RUNNING", "RUNNING", (LONG_AGO, LONG_AGO))
    assert changes == [] and asked > 0
