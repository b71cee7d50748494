"""The tables of jobs. Every time is in seconds since the epoch.

A change needs a migration in `migrations/versions`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, Integer, String, Text, false
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

FINISHED = ("done", "done_with_faults", "failed", "cancelled")
ACTIVE = ("initialising", "generating", "converting")
STATES = ("queued", *ACTIVE, *FINISHED)

_Id = String(64)
_Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite autoincrements only INTEGER keys


class Base(DeclarativeBase):
    pass


class JobRow(Base):
    """A job.

    number: the order of submission; paused: why an active job waits; request: see `request.JobRequest`; plan: facts
    about the whole text, once it is read; figures: see `progress`; outputs: [{name, format, bytes}]; owner,
    lease_until: the lease of the runner that works on it; retry_at: the earliest time to resume a paused job;
    cancelling: requested, but not yet noticed by the runner; worked: seconds that runners have spent on it.
    """

    __tablename__ = "jobs"
    number: Mapped[int] = mapped_column(_Number, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(_Id, unique=True)
    state: Mapped[str] = mapped_column(String(32), index=True)
    paused: Mapped[str | None] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    plan: Mapped[dict[str, Any]] = mapped_column(JSON)
    figures: Mapped[dict[str, Any]] = mapped_column(JSON)
    outputs: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    created_at: Mapped[float] = mapped_column(Double)
    started_at: Mapped[float | None] = mapped_column(Double)
    finished_at: Mapped[float | None] = mapped_column(Double)
    worked: Mapped[float] = mapped_column(Double, default=0.0)
    owner: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[float | None] = mapped_column(Double)
    retry_at: Mapped[float | None] = mapped_column(Double)
    cancelling: Mapped[bool] = mapped_column(default=False, server_default=false())
    error: Mapped[str | None] = mapped_column(Text)
    code: Mapped[str | None] = mapped_column(String(64))


class ChapterRow(Base):
    """A chapter whose segments have been planned. index: its place in the book."""

    __tablename__ = "chapters"
    job: Mapped[str] = mapped_column(_Id, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(Text)


class SegmentRow(Base):
    """A segment of a job's text.

    index: its place among all; block: its block in the chapter; begin, end: its span in the block's text; voice: a key
    of the request's voices; pause_after: seconds; seed: instead of the job's; sound: the digest of its sound, once
    spoken; samples: of the sound; failures: errors so far; leases: tries so far; retried, cut: as in `SegmentDone`.
    """

    __tablename__ = "segments"
    job: Mapped[str] = mapped_column(_Id, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    chapter: Mapped[int] = mapped_column(Integer)
    block: Mapped[int] = mapped_column(Integer)
    begin: Mapped[int] = mapped_column(Integer)
    end: Mapped[int] = mapped_column(Integer)
    text: Mapped[str] = mapped_column(Text)
    voice: Mapped[str] = mapped_column(String(128))
    pause_after: Mapped[float] = mapped_column(Double)
    seed: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16))  # waiting, spoken, faulty
    sound: Mapped[str | None] = mapped_column(String(64), index=True)
    samples: Mapped[int] = mapped_column(BigInteger, default=0)
    owner: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[float | None] = mapped_column(Double)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    leases: Mapped[int] = mapped_column(Integer, default=0)
    retried: Mapped[bool] = mapped_column(default=False)
    cut: Mapped[bool] = mapped_column(default=False)
    error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("segments_by_state", "job", "state", "index"),
        Index("segments_by_chapter", "job", "chapter"),
    )


class LogRow(Base):
    """A line of a job's log."""

    __tablename__ = "job_log"
    number: Mapped[int] = mapped_column(_Number, primary_key=True, autoincrement=True)
    job: Mapped[str] = mapped_column(_Id, ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    at: Mapped[float] = mapped_column(Double)
    message: Mapped[str] = mapped_column(Text)
