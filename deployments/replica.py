"""A leased model replica: a device thread with a worker, and one long query, the lease."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.handle import DeploymentHandle

from deployments import logs
from deployments.autoscaling import DEMAND
from deployments.contract.work import StageWorker
from deployments.engine.device import card, memory
from deployments.engine.device.thread import DeviceThread, ModelReplica
from deployments.item_spans import ItemSpans
from deployments.leases.device_loop import DeviceLoop
from deployments.leases.ledger import HEARTBEAT_S
from deployments.leases.long_stream import LongStream, More, joined
from deployments.leases.loop import LeaseLoop, Report
from deployments.leases.records import Orders
from deployments.metrics import ServeMetrics
from deployments.stage_metrics import record_replica, stage_of

ANSWER_MARGIN_S = 10.0
FAILING_STEPS = 3  # consecutive failed steps after which Serve replaces the replica


class LeasedReplica(ModelReplica):
    """Base of Gpt and Vocoder. `load` runs on the device thread and returns the worker and a description of its device.

    stuck_after_s: if a device step takes longer, the health check fails and Serve replaces the replica. model: its
    name, for the metrics.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], tuple[StageWorker, dict[str, Any]]],
        threads: int,
        stuck_after_s: float,
        model: str = "",
    ) -> None:
        def start() -> tuple[StageWorker, dict[str, Any], dict[str, int]]:
            from deployments.engine.device.memory_report import held

            worker, facts = load()
            return worker, facts, held(worker)

        logs.join_serve()
        self._device = DeviceThread(name, threads)
        self._stuck_after_s = stuck_after_s
        self._worker, self._facts, self._held = self._device.submit(start).result()
        self._loop = LeaseLoop(self._worker, DeviceLoop(self._device), self._describe, memory.free)
        self._reports: LongStream[Report] = LongStream()
        self._sources: dict[str, HandleSource] = {}
        self._asked_at = time.monotonic()  # the last health check
        context = serve.get_replica_context()
        self._app, self._tag, self._name = context.app_name, context.replica_tag, context.deployment
        self._metrics = ServeMetrics(model=model, stage=stage_of(context.deployment))

    async def lease(
        self, scheduler: str, lease_id: str, resume: bool = False
    ) -> AsyncIterator[Report | More]:
        """Reports of work for the deployment `scheduler`, until the lease ends or continues in another query."""
        if scheduler not in self._sources:
            self._sources[scheduler] = HandleSource(serve.get_deployment_handle(scheduler, self._app))
        spans = ItemSpans(self._sources[scheduler], self._name, self._tag)
        query = self._reports.query(lease_id, lambda: spans.reports(self._loop.run(spans, lease_id)), resume)
        async with aclosing(query) as reports:
            async for report in reports:
                yield report

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """For Serve, which hands it to the policy (see `autoscaling`)."""
        return {DEMAND: self._loop.demand}

    async def check_health(self) -> None:
        """Raises RuntimeError if the device thread is dead or stuck, or if its steps fail."""
        self._asked_at = time.monotonic()
        if self._loop.failed is not None:
            raise RuntimeError(f"a device step failed: {self._loop.failed!r}")
        if self._worker.failing >= FAILING_STEPS:
            raise RuntimeError(f"the last {self._worker.failing} device steps failed")
        heart = self._device.heartbeat()
        busy = heart.busy_s or 0.0
        if not heart.alive or busy > self._stuck_after_s:
            raise RuntimeError(f"the device thread is dead or has been stuck for {busy:.0f} s")

    def _describe(self) -> dict[str, Any]:
        worker = self._worker
        status = {
            **self._facts,
            **{part: ask() for part in ("status", "stats") if (ask := getattr(worker, part, None))},
            "replica": self._tag,
            "pid": os.getpid(),
            "thread_id": self._device.thread_id,
            "memory": {**memory.usage(), **self._held},
            "load": card.load(self._facts.get("device", {}).get("device", "cpu")),
            "unasked_s": round(time.monotonic() - self._asked_at, 1),
            "leases": self._loop.leases,
            "queries": self._reports.queries,
            "slots": worker.slots,
            "active": worker.active,
        }
        record_replica(self._metrics, status)
        return status


class HandleSource:
    """The scheduler behind its deployment handle. A call that gets no answer raises."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle.options(method_name="orders", stream=True, _by_reference=False)

    async def orders(self, lease_id: str, slots: int) -> AsyncGenerator[Orders]:
        stream = joined(lambda _: self._handle.remote(lease_id, slots), RayError)
        async with aclosing(stream):
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT_S + ANSWER_MARGIN_S):
                        orders = await anext(stream)
                except StopAsyncIteration:
                    return
                yield orders
