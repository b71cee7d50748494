"""The database of jobs: SQLite in a file, or Postgres. The calls block: make them in a thread."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError
from sqlalchemy.orm import Session

from deployments import private_files
from deployments.contract.errors import DiskFull, Unavailable

log = logging.getLogger("chorale.jobs")

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_S = 30.0  # how long SQLite waits for another writer
LOCK = 0x63686F72  # the name of our lock in Postgres
AWAY = ("'57p0", "'08")  # Postgres' codes: starting up, shutting down, connection lost
FULL = ("disk is full", "53100", "no space left")  # SQLite's message, and Postgres' code and message


class DatabaseAway(Unavailable):
    """The database cannot be reached at the moment."""

    code = "database_unavailable"


class Database:
    """Opened and migrated at its first use. url: sqlite:///FILE or postgresql://…, as the settings check it."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        kind = parsed.get_backend_name()
        self.is_sqlite = kind == "sqlite"
        self._file = Path(parsed.database or "") if self.is_sqlite else None
        drivers = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+pg8000"}
        self._url = parsed.set(drivername=drivers[kind])
        self._lock = threading.Lock()
        self._engine: Engine | None = None

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Commits at the end. In SQLite, it excludes other writers from the start.

        Raises DatabaseAway, and DiskFull if its disk is full.
        """
        with self._session() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A read-only transaction: one consistent state of the data. Raises DatabaseAway."""
        with self._session(reading=True) as session:
            yield session

    @contextmanager
    def _session(self, **options: bool) -> Iterator[Session]:
        try:
            engine = self._opened().execution_options(**options)
            with Session(engine, expire_on_commit=False) as session, session.begin():
                session.connection()
                yield session
        except (DBAPIError, TimeoutError, OSError) as error:
            raise _explained(error) from error

    def lock(self, session: Session) -> None:
        """Excludes other transactions that call this, until the end of this one."""
        if not self.is_sqlite:
            session.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": LOCK})

    def close(self) -> None:
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def _opened(self) -> Engine:
        with self._lock:
            if self._engine is None:
                engine = self._new_engine()
                try:
                    self._migrate(engine)
                except BaseException:
                    engine.dispose()
                    raise
                self._engine = engine
            return self._engine

    def _new_engine(self) -> Engine:
        if self._file is None:
            return create_engine(self._url, pool_pre_ping=True, pool_size=8, connect_args={"timeout": 10})
        private_files.make_folder(self._file.absolute().parent)
        if not self._file.exists():
            os.close(os.open(self._file, os.O_CREAT | os.O_CLOEXEC, private_files.FILE))
        engine = create_engine(self._url, connect_args={"timeout": BUSY_S})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _migrate(self, engine: Engine) -> None:
        from alembic import command  # here, because only the process that opens the database needs Alembic
        from alembic.config import Config
        from alembic.runtime.migration import MigrationContext
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        head = ScriptDirectory.from_config(config).get_current_head()
        with engine.begin() as connection:
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": LOCK})
            found = MigrationContext.configure(connection).get_current_revision()
            if found == head:
                return
            log.info("migrating the database of jobs from revision %s to %s", found, head)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def now(session: Session) -> float:
    """Seconds since the epoch by the database's clock, because those of the machines may differ."""
    query = "(julianday('now') - 2440587.5) * 86400.0"
    if session.get_bind().dialect.name != "sqlite":
        query = "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"
    return float(session.scalar(text(f"SELECT {query}")) or 0.0)


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin in `_begin_sqlite`, and hold DDL too
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _explained(error: Exception) -> Exception:
    said = str(
        getattr(error, "orig", None) or error
    ).lower()  # without the values, which hold the book's text
    if any(sign in said for sign in FULL):
        return DiskFull("The disk that stores the jobs' database is full.")
    away = isinstance(error, (OSError, TimeoutError, InterfaceError, OperationalError))
    if away or getattr(error, "connection_invalidated", False) or any(sign in said for sign in AWAY):
        log.warning("the database of jobs does not answer: %s", said.partition("\n")[0][:200])
        return DatabaseAway("The database of jobs does not answer.")
    return error
