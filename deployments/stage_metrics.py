"""What the schedulers and the replicas record, from the figures that they keep anyway."""

from collections.abc import Mapping
from typing import Any

from deployments.contract import telemetry
from deployments.leases.ledger import Ledger
from deployments.metrics import ServeMetrics

RECORD_S = 2.0  # between two records of a scheduler
OUTCOMES = ("completed", "failed", "cancelled", "refused", "requeued", "interrupted")


def stage_of(deployment: str) -> str:
    """The label of a deployment: "gpt" for small.Gpt."""
    return deployment.rpartition(".")[2].lower()


def record_scheduler(metrics: ServeMetrics, ledger: Ledger, leases: int, wanted: int) -> None:
    metrics.record(telemetry.QUEUE_DEPTH, ledger.pending)
    metrics.record(telemetry.QUEUE_AGE, ledger.queue_age())
    for seconds in ledger.take_waits():
        metrics.record(telemetry.QUEUE_WAIT, seconds)
    metrics.record(telemetry.IN_SLOTS, ledger.in_flight - ledger.pending)
    metrics.record(telemetry.LEASES, leases)
    metrics.record(telemetry.LEASES_WANTED, wanted)
    metrics.record(telemetry.DEMAND, ledger.demand)
    counts = ledger.counts
    metrics.total(telemetry.LEASE_LOSSES, counts["deaths"])
    for outcome in OUTCOMES:
        metrics.total(telemetry.ITEMS, counts[outcome], outcome=outcome)


def record_replica(metrics: ServeMetrics, status: Mapping[str, Any]) -> None:
    """status: as a leased replica describes itself; a worker need not have every figure."""
    stats = status.get("stats", {})
    steps, replays = stats.get("steps", 0), stats.get("replays", 0)
    metrics.record(telemetry.SLOTS, status["slots"])
    metrics.total(telemetry.STEPS, replays, path="graph")
    metrics.total(telemetry.STEPS, max(0, steps - replays), path="eager")
    metrics.total(telemetry.BATCH_ROWS, stats.get("rows", 0))
    if "codes" in stats:
        metrics.total(telemetry.CODES, stats["codes"])
    load = status.get("load", {})
    memory = dict(status["memory"])
    memory |= {f"card_{what}_bytes": load[f"memory_{what}_bytes"] for what in ("used", "total") if load}
    for kind, count in memory.items():
        metrics.record(telemetry.DEVICE_MEMORY, count, kind=kind.removesuffix("_bytes"))
    if load.get("utilization") is not None:
        metrics.record(telemetry.DEVICE_UTILIZATION, load["utilization"])
