"""The database of jobs: its errors, and what a query reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from serve_app.jobs.access import Stores
from serve_app.jobs.database import Database, DatabaseAway
from serve_app.jobs.store import JobStore
from tests.serve_app.jobs.test_store import begun


def test_a_database_that_cannot_be_reached_says_so(tmp_path: Path) -> None:
    away = Database("postgresql://chorale@127.0.0.1:9/jobs")
    with pytest.raises(DatabaseAway) as caught, away.reading():
        pass
    assert caught.value.code == "database_unavailable" and "127.0.0.1" not in caught.value.message


def test_an_error_is_not_taken_for_a_full_disk_because_of_a_title(stores: Stores) -> None:
    job_id = begun(stores)
    with pytest.raises(IntegrityError):
        stores.segments.add_chapter(job_id, "me", 0, "The disk is full, said '08", [])


def test_deleting_a_job_reads_no_other_job_as_a_whole(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    asked: list[tuple[str, Any]] = []
    event.listen(
        database._opened(), "before_cursor_execute", lambda *about: asked.append((about[2], about[3]))
    )
    job_id = JobStore(database).add("", {}).id
    asked.clear()
    JobStore(database).delete(job_id)
    selects = [(query, values) for query, values in asked if query.startswith("SELECT")]
    with database.reading() as session:
        run = session.connection().exec_driver_sql
        steps = [step for query, values in selects for *_, step in run(f"EXPLAIN QUERY PLAN {query}", values)]
    assert len(selects) == 2 and not [step for step in steps if step.startswith("SCAN")]
    database.close()
