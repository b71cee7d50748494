"""Jobs, their chapters, segments and logs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("state", sa.String(32), nullable=False, index=True),
        sa.Column("paused", sa.Text()),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double()),
        sa.Column("finished_at", sa.Double()),
        sa.Column("worked", sa.Double(), nullable=False),
        sa.Column("owner", sa.String(128)),
        sa.Column("lease_until", sa.Double()),
        sa.Column("retry_at", sa.Double()),
        sa.Column("cancelling", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("error", sa.Text()),
        sa.Column("code", sa.String(64)),
    )
    op.create_table(
        "chapters",
        _of_job(primary_key=True),
        sa.Column("index", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("title", sa.Text(), nullable=False),
    )
    op.create_table(
        "segments",
        _of_job(primary_key=True),
        sa.Column("index", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("chapter", sa.Integer(), nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("begin", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("voice", sa.String(128), nullable=False),
        sa.Column("pause_after", sa.Double(), nullable=False),
        sa.Column("seed", sa.BigInteger()),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("sound", sa.String(64), index=True),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(128)),
        sa.Column("lease_until", sa.Double()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("leases", sa.Integer(), nullable=False),
        sa.Column("retried", sa.Boolean(), nullable=False),
        sa.Column("cut", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text()),
    )
    op.create_index("segments_by_state", "segments", ["job", "state", "index"])
    op.create_index("segments_by_chapter", "segments", ["job", "chapter"])
    op.create_table(
        "job_log",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        _of_job(index=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
    )


def _of_job(**options: Any) -> sa.Column:
    return sa.Column(
        "job", sa.String(64), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, **options
    )
