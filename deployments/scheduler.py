"""The scheduler of a stage: a one-replica CPU deployment, bound once for the Gpt and once for the Vocoder.

It keeps a lease open on every wanted replica. A lease is an ordinary streaming call through Serve's router to a
deployment with max_ongoing_requests=1. A stage with no replica gets its first when such a call waits; the demand for
more travels with the orders (see `autoscaling`).
"""

import asyncio
import gc
import logging
import math
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from statistics import fmean
from typing import Any

from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.handle import DeploymentHandle

from deployments import logs
from deployments.autoscaling import Demand
from deployments.contract.errors import SynthesisFailed
from deployments.contract.work import Event, WorkItem
from deployments.engine.device import memory
from deployments.item_spans import traced
from deployments.leases.ledger import COLLECT_EVERY, Ledger
from deployments.leases.long_stream import AGAIN_S, More, bounded, joined
from deployments.leases.records import Lease, Orders
from deployments.metrics import ServeMetrics
from deployments.roll_out import ReplicaStatus, RollOut, watch_roll_out
from deployments.stage_metrics import RECORD_S, record_scheduler, stage_of

log = logging.getLogger("ray.serve")

FORGET_REPLICA_S = 60.0
FREE_S = 10.0  # for a replica to come to the end of a step and give memory back
QUEUED_PER_SLOT = 10
UNKNOWN_SLOTS = 4  # the least that memory suggests
ANNOUNCE_S, EXPECTED_S = 1.0, 5.0  # between two calls of `expect`, and how long one counts


class StageScheduler:
    """Queue, leases and bookkeeping of one stage.

    Args:
        stage: handle of the model deployment; its replicas offer `lease(scheduler_name, lease_id)`.
        slots: items that one replica processes at once, without `burst_slots`; None until a replica reports it.
        max_queue, max_backlog: requests that may wait for a first slot (see `Admission`); `submit` rejects further
            ones with Overloaded. No max_backlog means QUEUED_PER_SLOT times the slots.
        max_wait_s, max_start_s, first_share, burst_slots: see `Ledger`.
        min_replicas, max_replicas: the least and greatest number of leases.
        lease_s: age in seconds from which a lease may end if it is idle, no longer wanted, or its stage is being
            rolled out. Any other busy lease continues, so that new work does not wait for old work.
        silence_s: a lease that reports nothing for this long is considered lost.
        utilization: the share of a replica's slots that should be in use on average.
        demand_s: the seconds over which the demand is averaged.
        next_stage: the scheduler of a stage that is told to expect work while this one has some, so that both can start
            at the same time.
        model: its name, for the metrics.
    """

    def __init__(
        self,
        stage: DeploymentHandle,
        *,
        slots: int | None,
        max_queue: int | None = None,
        max_backlog: int | None = None,
        max_wait_s: float = 30.0,
        max_start_s: float = 0.0,
        first_share: float = 0.0,
        burst_slots: int = 0,
        min_replicas: int = 1,
        max_replicas: int = 1,
        lease_s: float = 10.0,
        silence_s: float = 30.0,
        utilization: float = 1.0,
        demand_s: float = 10.0,
        next_stage: DeploymentHandle | None = None,
        model: str = "",
    ) -> None:
        logs.join_serve()
        gc.set_threshold(COLLECT_EVERY)
        context = serve.get_replica_context()
        self.name = context.deployment
        self.app = context.app_name
        self.stage_name = stage.deployment_name
        self.min_replicas, self.max_replicas = min_replicas, max_replicas
        self.lease_s, self.silence_s, self.utilization = lease_s, silence_s, utilization
        self._slots, self._burst_slots, self._max_backlog = slots, burst_slots, max_backlog
        known = slots or UNKNOWN_SLOTS
        self.ledger = Ledger(
            self.stage_name,
            known,
            max_queue,
            max_backlog=max_backlog or QUEUED_PER_SLOT * known,
            max_wait_s=max_wait_s,
            max_start_s=max_start_s,
            first_share=first_share,
            burst_slots=burst_slots,
            wanted=self._wanted,
            keep=self._keep,
        )
        self._stage = stage.options(method_name="lease", stream=True, _by_reference=False)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._started: set[str] = set()
        self._replicas: dict[str, ReplicaStatus] = {}
        self._freeing: dict[str, asyncio.Future[dict[str, Any]]] = {}  # by lease
        self._stopped = RollOut()
        self._asked_at = time.monotonic()  # the last health check
        self._demand = Demand(demand_s)
        self._next = next_stage and next_stage.options(method_name="expect", _by_reference=False)
        self._announced = self._expected = -math.inf
        self._metrics = ServeMetrics(model=model, stage=stage_of(self.stage_name))
        loop = asyncio.get_running_loop()
        self._keeper = loop.create_task(self._keep_leases())
        asked = (self.name, self._replicas, lambda: self._asked_at)
        watch = watch_roll_out(self.app, self.stage_name, *asked, self._roll_out)
        self._watcher = loop.create_task(watch)
        self._recording = loop.create_task(self._record())

    async def submit(self, item: WorkItem, admitted: bool = False) -> AsyncIterator[Event]:
        """An empty event that acknowledges the item, then its own (see `Ledger.submit`)."""
        yield Event(item.id)
        async for event in self.ledger.submit(traced(item), admitted):
            yield event

    async def finish(self, item: WorkItem, admitted: bool = False) -> Event:
        """The item's last event, for work whose result is a single value."""
        async with aclosing(self.ledger.submit(traced(item), admitted)) as events:
            async for event in events:
                if event.done or event.error is not None:
                    return event
        return Event(item.id, error=SynthesisFailed("the work was cancelled", code="cancelled"))

    async def cancel(self, item_id: str) -> bool:
        return self.ledger.cancel(item_id)

    async def expect(self) -> None:
        """Work will come within EXPECTED_S: keeps a replica for it, or starts one."""
        self._expected = time.monotonic()
        self.ledger.touch()

    async def status(self) -> dict[str, Any]:
        now = time.monotonic()
        ledger = self.ledger
        return {
            "stage": self.stage_name,
            "pid": os.getpid(),
            "pending": ledger.pending,
            "newcomers": ledger.newcomers,
            "active": ledger.in_flight - ledger.pending,
            "max_queue": ledger.limit(),
            "slots": ledger.slots,
            "leases": len(self._started),
            "leases_wanted": self._wanted(),
            "demand": round(self.ledger.demand, 3),
            "rate": round(ledger.rate(), 3),
            **ledger.counts,
            "ready": len(self._started) >= min(1, self.min_replicas),
            "memory": await asyncio.to_thread(memory.usage),
            "replicas": {
                name: {**said.status, "age_s": round(now - said.at, 1)}
                for name, said in self._replicas.items()
            },
        }

    async def free(self) -> list[dict[str, Any]]:
        """Frees unused memory in every leased replica and in this process (`memory.free`).

        A replica without a lease has already done so. One that does not answer within FREE_S is omitted.
        """
        for lease_id in self._started - self._freeing.keys():
            self._freeing[lease_id] = asyncio.get_running_loop().create_future()
            self.ledger.order_free(lease_id)
        asked = list(self._freeing.values())
        own = {"process": self.name, **await asyncio.to_thread(memory.free)}
        done = (await asyncio.wait(asked, timeout=FREE_S))[0] if asked else ()
        return [own, *(answer.result() for answer in done if not answer.cancelled())]

    async def orders(self, lease_id: str, slots: int) -> AsyncIterator[Orders | More]:
        """See `Ledger.orders`."""
        async with aclosing(self.ledger.orders(lease_id, slots)) as stream:
            async for orders in bounded(stream):
                yield orders

    async def check_health(self) -> None:
        self._asked_at = time.monotonic()
        for task in (self._keeper, self._watcher, self._recording):
            if task.done():
                raise RuntimeError(f"a task of {self.name} ended: {task}")

    def _work(self) -> int:
        """The items in flight; one at least while work is expected."""
        return max(self.ledger.in_flight, time.monotonic() < self._expected + EXPECTED_S)

    def _wanted(self) -> int:
        room = self.ledger.slots * self.utilization
        least = (
            0 if self._stopped.scheduler else self.min_replicas
        )  # another scheduler needs the idle replicas
        return wanted_leases(self._work(), room, least, self.max_replicas)

    def _keep(self, lease: Lease) -> bool:
        if lease.closing:
            return False
        if self.ledger.age(lease) < self.lease_s and not self._stopped.scheduler:
            return True
        staying = len(self._started) - self.ledger.closing
        return bool(lease.held) and not self._stopped.stage and staying <= self._wanted()

    async def _keep_leases(self) -> None:
        while True:
            self.ledger.demand = self._demand.set(self._work() / self.ledger.slots)
            self._announce()
            wanted = self._wanted()
            surplus = len(self._tasks) - self.ledger.closing - wanted
            for _ in range(-surplus):
                self._open_lease()
            waiting = [lease_id for lease_id in self._tasks if lease_id not in self._started]
            for lease_id in waiting[: max(0, surplus)]:
                self._tasks[lease_id].cancel()  # still in the router, where the autoscaler would count it
            await self.ledger.changed(timeout=1.0)

    def _announce(self) -> None:
        now = time.monotonic()
        if self._next is not None and self.ledger.in_flight and now >= self._announced + ANNOUNCE_S:
            self._announced = now
            self._next.remote()  # not awaited: the next call follows soon

    async def _record(self) -> None:
        while True:
            record_scheduler(self._metrics, self.ledger, len(self._started), self._wanted())
            await asyncio.sleep(RECORD_S)

    def _open_lease(self) -> None:
        lease_id = uuid.uuid4().hex[:12]
        task = asyncio.get_running_loop().create_task(self._hold_lease(lease_id))
        self._tasks[lease_id] = task
        task.add_done_callback(lambda _: (self._tasks.pop(lease_id), self.ledger.touch()))

    async def _hold_lease(self, lease_id: str) -> None:
        lease = self.ledger.open_lease(lease_id)
        reports = joined(lambda resume: self._stage.remote(self.name, lease_id, resume), RayError)
        died, replica, lease_name = False, "", f"{self.stage_name}: lease {lease_id}"
        try:
            while True:
                started = lease_id in self._started
                async with asyncio.timeout(self.silence_s if started else None):
                    report = await anext(reports)
                if not started:
                    self._started.add(lease_id)
                    lease.opened += self.ledger.age(lease)  # it does not age while it waits in the router
                if report.status is not None:
                    replica = report.status.get("replica", "")
                    self._heard_from(replica, report.status)
                if report.freed is not None and (asked := self._freeing.pop(lease_id, None)) is not None:
                    asked.set_result({"process": replica, **report.freed})
                self.ledger.deliver(lease_id, list(report.events))
        except StopAsyncIteration:
            pass
        except Exception as error:
            died, expected = True, isinstance(error, RayActorError | TimeoutError)
            silent = f"silent for {self.silence_s:.0f} s" if isinstance(error, TimeoutError) else ""
            why = silent or type(error).__name__
            log.warning("%s is lost: %s", lease_name, why, exc_info=not expected)
        finally:
            started = lease_id in self._started
            self._started.discard(lease_id)
            if (asked := self._freeing.pop(lease_id, None)) is not None:
                asked.cancel()
            returned = self.ledger.end_lease(lease_id, died=died)
            if died:
                self._replicas.pop(replica, None)
            if returned:
                log.warning("%s: %d items return to the head of the queue", lease_name, returned)
            await reports.aclose()
        if not started:
            await asyncio.sleep(0.2 if died else AGAIN_S)

    def _roll_out(self, stopped: RollOut) -> None:
        self._stopped = stopped
        if stopped != RollOut():
            self.ledger.nudge()

    def _heard_from(self, replica: str, status: dict[str, Any]) -> None:
        now = time.monotonic()
        for name in [name for name, said in self._replicas.items() if now - said.at > FORGET_REPLICA_S]:
            del self._replicas[name]
        self._replicas[replica] = ReplicaStatus(status, now)
        slots = [said.status["slots"] for said in self._replicas.values() if "slots" in said.status]
        if self._slots is None and slots:  # the replicas choose them by their memory, so unlike cards differ
            self.ledger.slots = max(1, round(fmean(slots)) - self._burst_slots)
            self.ledger.admission.max_backlog = self._max_backlog or QUEUED_PER_SLOT * self.ledger.slots


def wanted_leases(work: int, room: float, minimum: int, maximum: int) -> int:
    """The number of replicas that the work fills, within the limits. room: items that should share a replica."""
    return max(minimum, min(maximum, math.ceil(work / room)))
