"""The log of a job in the database. Its newest lines are kept: a job that is paused for days goes on writing."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from serve_app.jobs.database import now
from serve_app.jobs.models import LogRow

MOST_LINES = 10_000  # of a job


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log. number: rises with each line."""

    number: int
    at: float
    message: str


def add(session: Session, job_id: str, message: str) -> None:
    """Deletes the oldest lines above MOST_LINES."""
    session.add(LogRow(job=job_id, at=now(session), message=message))
    session.flush()
    newest = select(LogRow.number).where(LogRow.job == job_id).order_by(LogRow.number.desc())
    last_old = newest.offset(MOST_LINES).limit(1).scalar_subquery()
    session.execute(delete(LogRow).where(LogRow.job == job_id, LogRow.number <= last_old))


def lines(session: Session, job_id: str, after: int) -> list[Line]:
    """Those behind the line `after`."""
    query = select(LogRow).where(LogRow.job == job_id, LogRow.number > after)
    rows = session.scalars(query.order_by(LogRow.number).limit(MOST_LINES))
    return [Line(row.number, row.at, row.message) for row in rows]
