"""The log of a job, on SQLite and on Postgres."""

from __future__ import annotations

import time

import pytest

from serve_app.jobs import job_log
from serve_app.jobs.access import Stores
from tests.serve_app.jobs.test_store import begun


def test_the_log_continues_behind_a_line(stores: Stores) -> None:
    job_id = begun(stores)
    for n in range(3):
        stores.jobs.log(job_id, f"line {n}")
    lines = stores.jobs.lines(job_id)
    assert [line.message for line in lines[-3:]] == ["line 0", "line 1", "line 2"]
    assert [line.message for line in stores.jobs.lines(job_id, lines[-2].number)] == ["line 2"]
    assert all(abs(line.at - time.time()) < 600 for line in lines)


def test_the_newest_lines_of_a_log_are_kept(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_log, "MOST_LINES", 3)
    job_id, other = begun(stores), stores.jobs.add("", {}).id
    for n in range(7):
        stores.jobs.log(job_id, f"line {n}")
    monkeypatch.undo()
    assert [line.message for line in stores.jobs.lines(job_id)] == ["line 4", "line 5", "line 6"]
    assert len(stores.jobs.lines(other)) == 1
