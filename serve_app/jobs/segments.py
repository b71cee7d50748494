"""The segments of jobs in the database; `store.py` has the jobs. A segment in progress is leased to a runner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from sqlalchemy import func, or_, select, update

from deployments.contract.errors import NotFound
from serve_app.jobs.database import Database, now
from serve_app.jobs.models import ChapterRow, JobRow, SegmentRow
from serve_app.jobs.store import again, owned

MOST_FAILURES = 3  # errors before a segment is a fault
MOST_LEASES = 10  # attempts, including those that ended with the death of a process
PAGE = 200  # rows in memory at once


@dataclass(frozen=True, slots=True)
class Planned:
    """A segment as the plan has it; error: why it cannot be spoken. The rest: see `SegmentRow`."""

    block: int
    span: tuple[int, int]
    text: str
    voice: str
    pause_after: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a job or a chapter: its segments, their characters, and the samples of its sound."""

    segments: int = 0
    spoken: int = 0
    faulty: int = 0
    characters: int = 0
    characters_done: int = 0
    samples: int = 0
    retried: int = 0
    cut: int = 0

    @classmethod
    def sum(cls, parts: Iterable[Counts]) -> Counts:
        return cls(*map(sum, zip(*map(astuple, parts), strict=True)))


class SegmentStore:
    """Raises DatabaseAway and DiskFull in every method."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def chapters(self, job_id: str) -> list[tuple[int, str]]:
        """The index and the title of each chapter whose segments exist, in order."""
        with self.database.reading() as session:
            rows = session.scalars(
                select(ChapterRow).where(ChapterRow.job == job_id).order_by(ChapterRow.index)
            )
            return [(row.index, row.title) for row in rows]

    def add_chapter(
        self, job_id: str, owner: str, index: int, title: str, segments: Sequence[Planned]
    ) -> None:
        """All segments of the next chapter. Raises LeaseLost."""
        with self.database.transaction() as session:
            owned(session, job_id, owner)
            last = session.scalar(select(func.max(SegmentRow.index)).where(SegmentRow.job == job_id))
            first = 0 if last is None else last + 1
            session.add(ChapterRow(job=job_id, index=index, title=title))
            session.add_all(
                SegmentRow(
                    job=job_id,
                    index=number,
                    chapter=index,
                    block=planned.block,
                    begin=planned.span[0],
                    end=planned.span[1],
                    text=planned.text,
                    voice=planned.voice,
                    pause_after=planned.pause_after,
                    state="faulty" if planned.error else "waiting",
                    error=planned.error,
                    samples=0,
                    failures=0,
                    leases=0,
                    retried=False,
                    cut=False,
                )
                for number, planned in enumerate(segments, first)
            )

    def lease(self, job_id: str, owner: str, count: int, lease_s: float) -> list[SegmentRow]:
        """Up to `count` segments to speak. Those whose processes died too often are faults. Raises LeaseLost."""
        with self.database.transaction() as session:
            owned(session, job_id, owner)
            at = now(session)
            waiting = (SegmentRow.job == job_id, SegmentRow.state == "waiting")
            free = or_(SegmentRow.owner.is_(None), SegmentRow.lease_until < at)
            session.execute(
                update(SegmentRow)
                .where(*waiting, free, SegmentRow.leases >= MOST_LEASES)
                .values(state="faulty", owner=None, error="The process died on every attempt.")
            )
            rows = list(
                session.scalars(
                    select(SegmentRow).where(*waiting, free).order_by(SegmentRow.index).limit(count)
                )
            )
            for row in rows:
                row.owner, row.lease_until, row.leases = owner, at + lease_s, row.leases + 1
            return rows

    def spoken(self, job_id: str, index: int, owner: str, **values: Any) -> bool:
        """Records the sound of a segment. False if the lease is lost: then nothing changes."""
        values |= {"state": "spoken", "owner": None, "lease_until": None, "error": None}
        return self._settle(job_id, index, owner, values)

    def failed(self, job_id: str, index: int, owner: str, error: str, *, final: bool) -> bool:
        """Records an error. After MOST_FAILURES, or a final one, the segment is a fault. False: the lease is lost."""
        with self.database.transaction() as session:
            row = session.get(SegmentRow, (job_id, index))
            if row is None or row.owner != owner:
                return False
            row.failures += 1
            row.owner, row.lease_until, row.error = None, None, error
            if final or row.failures >= MOST_FAILURES:
                row.state = "faulty"
            return True

    def give_back(self, job_id: str, index: int, owner: str) -> bool:
        """Ends a lease without a result, and does not count it."""
        values = {"owner": None, "lease_until": None, "leases": SegmentRow.leases - 1}
        return self._settle(job_id, index, owner, values)

    def lost(self, job_id: str, index: int, sound: str) -> None:
        """The sound of a segment is missing: it has to be spoken again."""
        with self.database.transaction() as session:
            session.execute(
                update(SegmentRow)
                .where(SegmentRow.job == job_id, SegmentRow.index == index, SegmentRow.sound == sound)
                .values(state="waiting", sound=None, samples=0, leases=0)
            )

    def redo(self, job_id: str, index: int, changes: dict[str, Any]) -> str | None:
        """Marks a segment of a finished job to be spoken again. changes: its seed, text or voice.

        Returns the digest of the sound that it had. Raises NotFound (param "index") and InvalidInput.
        """
        with self.database.transaction() as session:
            job = session.scalar(select(JobRow).where(JobRow.id == job_id).with_for_update())
            row = session.get(SegmentRow, (job_id, index))
            if job is None or row is None:
                raise NotFound("Invalid 'index': this segment does not exist.", param="index")
            again(session, job)
            for name, value in changes.items():
                setattr(row, name, value)
            before = row.sound
            row.state, row.sound, row.samples, row.error = "waiting", None, 0, None
            row.failures = row.leases = 0
            row.retried = row.cut = False
            return before

    def counts(self, job_id: str) -> dict[int, Counts]:
        """By the index of the chapter."""
        settled = SegmentRow.state != "waiting"
        characters = func.length(SegmentRow.text)
        columns = (
            func.count(),
            func.count().filter(SegmentRow.state == "spoken"),
            func.count().filter(SegmentRow.state == "faulty"),
            func.coalesce(func.sum(characters), 0),
            func.coalesce(func.sum(characters).filter(settled), 0),
            func.coalesce(func.sum(SegmentRow.samples), 0),
            func.count().filter(SegmentRow.retried),
            func.count().filter(SegmentRow.cut),
        )
        query = (
            select(SegmentRow.chapter, *columns).where(SegmentRow.job == job_id).group_by(SegmentRow.chapter)
        )
        with self.database.reading() as session:
            found = session.execute(query.order_by(SegmentRow.chapter)).all()
        return {row[0]: Counts(*map(int, row[1:])) for row in found}

    def page(
        self,
        job_id: str,
        *,
        chapter: int | None = None,
        state: str | None = None,
        after: int = -1,
        limit: int = PAGE,
        flagged: bool = False,
    ) -> list[SegmentRow]:
        """The segments after the index `after`, in order. flagged: those that are faulty, retried or cut."""
        query = select(SegmentRow).where(SegmentRow.job == job_id, SegmentRow.index > after)
        if chapter is not None:
            query = query.where(SegmentRow.chapter == chapter)
        if state is not None:
            query = query.where(SegmentRow.state == state)
        if flagged:
            query = query.where(or_(SegmentRow.state == "faulty", SegmentRow.retried, SegmentRow.cut))
        with self.database.reading() as session:
            return list(session.scalars(query.order_by(SegmentRow.index).limit(limit)))

    def find(self, job_id: str, index: int) -> SegmentRow:
        """Raises NotFound (param "index")."""
        with self.database.reading() as session:
            row = session.get(SegmentRow, (job_id, index))
        if row is None:
            raise NotFound("Invalid 'index': this segment does not exist.", param="index")
        return row

    def all(self, job_id: str, chapter: int | None = None, state: str | None = None) -> Iterator[SegmentRow]:
        """The segments in order; at most PAGE are in memory at once."""
        after = -1
        while rows := self.page(job_id, chapter=chapter, state=state, after=after):
            yield from rows
            after = rows[-1].index

    def _settle(self, job_id: str, index: int, owner: str, values: dict[str, Any]) -> bool:
        held = (SegmentRow.job == job_id, SegmentRow.index == index, SegmentRow.owner == owner)
        with self.database.transaction() as session:
            done = session.execute(
                update(SegmentRow).where(*held).values(**values).returning(SegmentRow.index)
            ).all()
        return bool(done)
