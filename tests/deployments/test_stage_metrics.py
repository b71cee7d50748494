"""What schedulers and replicas record from their figures."""

from __future__ import annotations

import asyncio
from typing import Any

from deployments.contract import telemetry
from deployments.contract.telemetry import Instrument
from deployments.contract.work import WorkItem, log_fields
from deployments.leases.ledger import Ledger
from deployments.stage_metrics import record_replica, record_scheduler, stage_of

REPLICA: dict[str, Any] = {
    "slots": 8,
    "stats": {"steps": 50, "replays": 40, "rows": 150, "codes": 120},
    "memory": {"rss_bytes": 3, "weights_bytes": 2, "device_reserved_bytes": 1},
    "load": {"id": "card", "memory_used_bytes": 7, "memory_total_bytes": 9, "utilization": 55.0},
}


class Records:
    """As ServeMetrics, with a fixed model and stage."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, ...], float] = {}

    def record(self, instrument: Instrument, value: float, **labels: str) -> None:
        assert {*labels, "model", "stage"} >= set(instrument.labels) >= set(labels)
        self.values[(instrument.name, *labels.values())] = value

    total = record

    def of(self, instrument: Instrument, *labels: str) -> float:
        return self.values[(instrument.name, *labels)]


def test_a_replica_records_graphs_batches_and_memory() -> None:
    records = Records()
    record_replica(records, REPLICA)  # type: ignore[arg-type]
    assert (records.of(telemetry.STEPS, "graph"), records.of(telemetry.STEPS, "eager")) == (40, 10)
    assert records.of(telemetry.BATCH_ROWS) == 150
    assert records.of(telemetry.CODES) == 120
    kinds = {
        kind: value
        for (name, *rest), value in records.values.items()
        if name == telemetry.DEVICE_MEMORY.name
        for kind in rest
    }
    assert kinds == {"rss": 3, "weights": 2, "device_reserved": 1, "card_used": 7, "card_total": 9}
    assert records.of(telemetry.DEVICE_UTILIZATION) == 55.0


def test_a_replica_without_a_card_or_figures_records_the_rest() -> None:
    records = Records()
    record_replica(records, {"slots": 4, "memory": {"rss_bytes": 3}, "load": {}})  # type: ignore[arg-type]
    assert records.of(telemetry.SLOTS) == 4
    assert (telemetry.DEVICE_UTILIZATION.name,) not in records.values
    assert (telemetry.CODES.name,) not in records.values


async def test_a_scheduler_records_its_queue_and_the_waits_once() -> None:
    now = [0.0]
    ledger, records = Ledger("gpt", 1, 10, clock=lambda: now[0]), Records()
    streams = [
        ledger.submit(WorkItem(name, None, priority)) for name, priority in (("a", 0), ("b", 0), ("c", 10))
    ]
    waiting = [anext(stream) for stream in streams]
    tasks = [asyncio.ensure_future(each) for each in waiting]
    await asyncio.sleep(0)
    now[0] = 3.0
    record_scheduler(records, ledger, leases=0, wanted=1)  # type: ignore[arg-type]
    assert records.of(telemetry.QUEUE_DEPTH) == 3
    assert records.of(telemetry.QUEUE_AGE) == 3.0
    lease = ledger.open_lease("lease")
    orders = ledger.orders("lease", 1)
    await anext(orders)
    assert set(lease.held) == {"a"}
    assert ledger.take_waits() == [3.0]
    now[0] = 5.0
    ledger.cancel("a")
    record_scheduler(records, ledger, leases=1, wanted=1)  # type: ignore[arg-type]
    assert records.of(telemetry.QUEUE_WAIT) == 5.0
    assert ledger.take_waits() == []
    assert records.of(telemetry.QUEUE_AGE) == 0.0  # only background work waits
    assert records.of(telemetry.ITEMS, "cancelled") == 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_labels_and_log_fields_come_from_names() -> None:
    assert [stage_of(name) for name in ("Gpt", "index-1.5.Vocoder")] == ["gpt", "vocoder"]
    assert log_fields("my.request.0a1b2c3d.0.again.2") == {
        "item": "my.request.0a1b2c3d.0.again.2",
        "request_id": "my.request",
    }
    assert log_fields("odd")["request_id"] == "odd"
