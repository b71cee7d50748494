"""One device thread that steps the workers of several stages in turn, and executes orders between two steps.

Each turn and each order is a call of its own, so that other calls (a status, an encoder) run between two steps, and the
thread's heartbeat shows how long the step in progress has taken.
"""

import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from deployments.contract.errors import ChoraleError, SynthesisFailed
from deployments.contract.work import Event, StageWorker, WorkItem, log_fields
from deployments.leases.records import Orders

log = logging.getLogger(__name__)


class Executor(Protocol):
    """The device thread: it runs what is submitted, one call after the other."""

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]: ...


@dataclass(slots=True, eq=False)
class Session:
    """One lease's use of a worker.

    post: called on the device thread with events in order, and with None when the session has ended.
    error: what a step raised; worked: whether any item was admitted.
    """

    worker: StageWorker
    post: Callable[[tuple[Event, ...] | None], None]
    active: set[str] = field(default_factory=set)
    closing: bool = False
    ended: bool = False
    worked: bool = False
    error: BaseException | None = None


class DeviceLoop:
    """Steps every worker that has active items, in the order in which the workers had their first sessions."""

    def __init__(self, thread: Executor) -> None:
        self.thread = thread
        self._sessions: dict[StageWorker, Session] = {}  # this and _turning: on the device thread only
        self._turning = False

    def open(self, worker: StageWorker, post: Callable[[tuple[Event, ...] | None], None]) -> Session:
        """A session of the worker. Ends the one before."""
        session = Session(worker, post)
        self.thread.submit(self._begin, session)
        return session

    def obey(self, session: Session, orders: Orders) -> None:
        """Executes the orders between two steps, except `free`. Does nothing when the thread is closed."""
        with contextlib.suppress(RuntimeError):
            self.thread.submit(self._obey, session, orders)

    # on the device thread

    def _begin(self, session: Session) -> None:
        if (previous := self._sessions.get(session.worker)) is not None:
            self._end(previous)
        self._sessions[session.worker] = session

    def _obey(self, session: Session, orders: Orders) -> None:
        if session.ended:
            return
        for item_id in orders.cancelled:
            session.worker.cancel(item_id)
            session.active.discard(item_id)
        for item in orders.items:
            if (error := _admit(session.worker, item)) is None:
                session.active.add(item.id)
                session.worked = True
                if log.isEnabledFor(logging.DEBUG):
                    log.debug("item %s is admitted", item.id, extra=log_fields(item.id))
            else:
                session.post((Event(item.id, error=error),))
        session.closing = session.closing or orders.close
        if orders.end or (session.closing and not session.active):
            self._end(session)
        if session.active and not self._turning:
            self._turning = True
            self.thread.submit(self._turn)

    def _turn(self) -> None:
        for session in self._sessions.values():
            if session.active:
                self._step(session)
        self._turning = any(session.active for session in self._sessions.values())
        if self._turning:
            self.thread.submit(self._turn)

    def _step(self, session: Session) -> None:
        try:
            events = session.worker.step()
        except BaseException as error:
            log.exception("a device step failed")
            session.error = error
            self._end(session)
            return
        session.active.difference_update(
            event.id for event in events if event.done or event.error is not None
        )
        if events:
            session.post(tuple(events))
        if session.closing and not session.active:
            self._end(session)

    def _end(self, session: Session) -> None:
        if session.ended:
            return
        session.ended = True
        try:
            for item_id in session.active:
                session.worker.cancel(item_id)
        except Exception:
            log.exception("the active items of a worker could not be cancelled")
        session.active.clear()
        session.post(None)


def _admit(worker: StageWorker, item: WorkItem) -> ChoraleError | None:
    try:
        worker.admit(item)
    except ChoraleError as error:
        return error
    except Exception:
        log.exception("item %s could not be admitted", item.id, extra=log_fields(item.id))
        return SynthesisFailed("the model could not start this request")
    return None
