"""The jobs in the database. The calls block: make them in a thread. Each is one transaction.

A runner that works on a job holds its lease. Calls that take an `owner` change nothing and raise LeaseLost if another
runner has taken over the job, or if it was deleted.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import case, delete, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from deployments.contract.errors import InvalidInput, NotFound
from serve_app.jobs import job_log
from serve_app.jobs.database import Database, now
from serve_app.jobs.job_log import Line
from serve_app.jobs.models import ACTIVE, FINISHED, STATES, JobRow, SegmentRow

ID = re.compile(r"job_[0-9a-f]{24}")


class LeaseLost(Exception):
    """The job belongs to another runner now, or was deleted."""


class JobStore:
    """Raises DatabaseAway and DiskFull in every method."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # for everyone

    def add(self, title: str, request: dict[str, Any], job_id: str | None = None) -> JobRow:
        """A new job in the queue. Changes nothing if there is one with this id."""
        job_id = job_id or new_id()
        with self.database.transaction() as session:
            if (found := session.scalar(select(JobRow).where(JobRow.id == job_id))) is not None:
                return found
            row = JobRow(
                id=job_id, state="queued", title=title, request=request, plan={}, figures={}, outputs=[],
                created_at=now(session), worked=0.0,
            )  # fmt: skip
            session.add(row)
            session.flush()
            job_log.add(session, job_id, "The job waits in the queue.")
        return row

    def get(self, job_id: str) -> JobRow:
        """Raises NotFound (param "job_id")."""
        with self.database.reading() as session:
            return _found(session, job_id)

    def list(self, limit: int, after: str | None = None) -> list[JobRow]:
        """The newest first. after: the id of the last job of the page before. Raises NotFound (param "after")."""
        with self.database.reading() as session:
            query = select(JobRow).order_by(JobRow.number.desc()).limit(limit)
            if after is not None:
                query = query.where(JobRow.number < _found(session, after, "after").number)
            return list(session.scalars(query))

    def positions(self) -> dict[str, int]:
        """The places of the queued jobs, from 1."""
        with self.database.reading() as session:
            queued = select(JobRow.id).where(JobRow.state == "queued").order_by(JobRow.number)
            return {job_id: place for place, job_id in enumerate(session.scalars(queued), 1)}

    def cancel(self, job_id: str) -> JobRow:
        """Ends a job: at once, or when its runner notices. Nothing changes for a finished one. Raises NotFound."""
        with self.database.transaction() as session:
            row = _found(session, job_id, lock=True)
            if row.state not in FINISHED:
                if row.owner is None or (row.lease_until or 0) < now(session):
                    _end(session, row, "cancelled")
                    job_log.add(session, job_id, "The job was cancelled.")
                else:
                    row.cancelling = True
            return row

    def delete(self, job_id: str, states: Collection[str] = STATES) -> tuple[JobRow, list[str]]:
        """Deletes a job. Returns it, and the digests of sounds that no other job has.

        Raises NotFound, also for a job that is not in one of `states`.
        """
        with self.database.transaction() as session:
            row = _found(session, job_id, lock=True)
            if row.state not in states:
                raise NotFound(f"The job is {row.state}.", param="job_id", code="job_not_found")
            own = select(SegmentRow.sound).where(SegmentRow.job == job_id, SegmentRow.sound.is_not(None))
            other = aliased(SegmentRow)
            elsewhere = select(other.job).where(other.sound == SegmentRow.sound, other.job != job_id).exists()
            found = session.scalars(own.where(~elsewhere).distinct())
            sounds = [sound for sound in found if sound is not None]
            session.execute(delete(JobRow).where(JobRow.id == job_id))
            return row, sounds

    def used(self, sounds: Sequence[str]) -> set[str]:
        """Those that a segment of any job uses."""
        with self.database.reading() as session:
            found = session.scalars(select(SegmentRow.sound).where(SegmentRow.sound.in_(sounds)).distinct())
            return {sound for sound in found if sound is not None}

    def existing(self, job_ids: Sequence[str]) -> set[str]:
        """Those of the ids that belong to a job."""
        with self.database.reading() as session:
            return set(session.scalars(select(JobRow.id).where(JobRow.id.in_(job_ids))))

    def oldest_begun(self) -> float | None:
        """When the oldest job in progress started, in seconds since the epoch. None if there is none."""
        with self.database.reading() as session:
            return session.scalar(select(func.min(JobRow.started_at)).where(JobRow.state.in_(ACTIVE)))

    def finished(self) -> list[str]:
        """The ids of all finished jobs."""
        with self.database.reading() as session:
            return list(session.scalars(select(JobRow.id).where(JobRow.state.in_(FINISHED))))

    def counts(self) -> dict[str, int]:
        """The number of jobs in each state."""
        with self.database.reading() as session:
            found = session.execute(select(JobRow.state, func.count().label("number")).group_by(JobRow.state))
            return dict.fromkeys(STATES, 0) | {row.state: row.number for row in found}

    def set_request(self, job_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """change: from the stored request to the new one. Raises NotFound."""
        with self.database.transaction() as session:
            row = _found(session, job_id, lock=True)
            row.request = change(row.request)

    def lines(self, job_id: str, after: int = 0) -> list[Line]:
        """The log behind the line `after`."""
        with self.database.reading() as session:
            return job_log.lines(session, job_id, after)

    # for runners

    def claim(
        self,
        owner: str,
        lease_s: float,
        concurrency: int,
        only: str | None = None,
        held: Collection[str] = (),
    ) -> JobRow | None:
        """The next job that needs a runner, leased to `owner`: one that was begun, else the oldest in the queue.

        only: the id of the one job that may be claimed; held: those that the runner works on already, whose leases may
        have expired while the database was away. None if there is none, or as many as `concurrency` are leased.
        """
        with self.database.transaction() as session:
            self.database.lock(session)
            at = now(session)
            leased = (JobRow.owner.is_not(None)) & (JobRow.lease_until >= at)
            free = or_(JobRow.owner.is_(None), JobRow.lease_until < at)
            stopped = session.scalars(
                select(JobRow).where(JobRow.cancelling, JobRow.state.not_in(FINISHED), free)
            )
            for row in stopped:  # its runner died before it noticed the cancellation
                _end(session, row, "cancelled")
            session.flush()
            if (session.scalar(select(func.count()).where(leased)) or 0) >= concurrency:
                return None
            waiting = (
                select(JobRow)
                .where(JobRow.state.in_(("queued", *ACTIVE)), free)
                .where(or_(JobRow.retry_at.is_(None), JobRow.retry_at <= at))
                .order_by(case((JobRow.state == "queued", 1), else_=0), JobRow.number)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            if held:
                waiting = waiting.where(JobRow.id.not_in(held))
            if only is not None:
                waiting = waiting.where(JobRow.id == only)
            row = session.scalar(waiting)
            if row is not None:
                row.owner, row.lease_until, row.retry_at = owner, at + lease_s, None
                row.started_at = row.started_at or at
                if row.state == "queued":
                    row.state = "initialising"
            return row

    def owners(self) -> list[str]:
        """Of all leases, expired ones included."""
        with self.database.reading() as session:
            found = session.scalars(select(JobRow.owner).where(JobRow.owner.is_not(None)).distinct())
            return [owner for owner in found if owner is not None]

    def free(self, owner: str) -> None:
        """Ends the leases of a runner that is dead."""
        with self.database.transaction() as session:
            for table in (JobRow, SegmentRow):
                session.execute(
                    update(table).where(table.owner == owner).values(owner=None, lease_until=None)
                )

    def beat(self, job_id: str, owner: str, lease_s: float, worked: float, figures: dict[str, Any]) -> bool:
        """Extends the leases of the job and of its segments. worked: seconds since the last beat.

        Returns whether the job is to be cancelled.
        """
        with self.database.transaction() as session:
            row = _owned(session, job_id, owner)
            until = now(session) + lease_s
            row.lease_until, row.worked, row.figures = until, row.worked + worked, figures
            held = (SegmentRow.job == job_id, SegmentRow.owner == owner)
            session.execute(update(SegmentRow).where(*held).values(lease_until=until))
            return row.cancelling

    def change(self, job_id: str, owner: str, message: str | None = None, **values: Any) -> None:
        """Sets columns of the job. message: for its log."""
        with self.database.transaction() as session:
            row = _owned(session, job_id, owner)
            for name, value in values.items():
                setattr(row, name, value)
            if message is not None:
                job_log.add(session, job_id, message)

    def pause(self, job_id: str, owner: str, reason: str, seconds: float) -> None:
        """Gives the job back for `seconds`."""
        with self.database.transaction() as session:
            row = _owned(session, job_id, owner)
            if row.paused != reason:
                job_log.add(session, job_id, f"Paused: {reason}")
            row.paused, row.retry_at = reason, now(session) + seconds
            row.owner = row.lease_until = None
            _give_back(session, job_id, owner)

    def give_back(self, job_id: str, owner: str) -> None:
        """Gives the job back: any runner may claim it from now on."""
        with self.database.transaction() as session:
            row = _owned(session, job_id, owner)
            row.owner = row.lease_until = None
            _give_back(session, job_id, owner)

    def end(self, job_id: str, owner: str, state: str, message: str, **values: Any) -> None:
        """Finishes the job and gives it back. values: columns."""
        with self.database.transaction() as session:
            row = _owned(session, job_id, owner)
            _end(session, row, state)
            for name, value in values.items():
                setattr(row, name, value)
            _give_back(session, job_id, owner)
            job_log.add(session, job_id, message)

    def log(self, job_id: str, message: str) -> None:
        with self.database.transaction() as session:
            if session.scalar(select(JobRow.number).where(JobRow.id == job_id)) is not None:
                job_log.add(session, job_id, message)


def new_id() -> str:
    return f"job_{secrets.token_hex(12)}"


def again(session: Session, row: JobRow) -> None:
    """Makes a finished job active. Raises InvalidInput (param "job_id") for one that is not, or that has no plan."""
    if row.state not in FINISHED or not row.plan.get("complete"):
        state = "was not read completely" if row.state in FINISHED else f"is {row.state}"
        raise InvalidInput(
            f"The job {state}: wait until it is done.", param="job_id", code="job_not_finished"
        )
    row.state, row.finished_at, row.error, row.code = "generating", None, None, None
    row.cancelling = False


def _found(session: Session, job_id: str, param: str = "job_id", *, lock: bool = False) -> JobRow:
    query = select(JobRow).where(JobRow.id == job_id)
    row = None
    if ID.fullmatch(job_id):
        row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise NotFound(f"Invalid '{param}': this job does not exist.", param=param, code="job_not_found")
    return row


def _owned(session: Session, job_id: str, owner: str) -> JobRow:
    row = session.scalar(select(JobRow).where(JobRow.id == job_id, JobRow.owner == owner).with_for_update())
    if row is None:
        raise LeaseLost(job_id)
    return row


def owned(session: Session, job_id: str, owner: str) -> None:
    """Raises LeaseLost unless `owner` holds the job. Nobody can take it until the transaction ends."""
    _owned(session, job_id, owner)


def _end(session: Session, row: JobRow, state: str) -> None:
    row.state, row.finished_at, row.paused, row.cancelling = state, now(session), None, False
    row.owner = row.lease_until = row.retry_at = None


def _give_back(session: Session, job_id: str, owner: str) -> None:
    held = (SegmentRow.job == job_id, SegmentRow.owner == owner)
    session.execute(
        update(SegmentRow).where(*held).values(owner=None, lease_until=None, leases=SegmentRow.leases - 1)
    )
