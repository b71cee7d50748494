"""The metrics of a replica, exported by Ray: the one place where `ray.serve.metrics` is used."""

import threading

from ray.serve import metrics

from deployments.contract.telemetry import Instrument

Exporter = metrics.Counter | metrics.Gauge | metrics.Histogram


class ServeMetrics:
    """Implements `Recorder` in a Serve replica. Serve adds the labels deployment, replica and application.

    A record takes microseconds, so that one per request or per report costs nothing that can be measured. labels: given
    to every instrument that has them.
    """

    def __init__(self, **labels: str) -> None:
        self._labels = labels
        self._exporters: dict[str, Exporter] = {}
        self._totals: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()  # replicas record on the device thread, too

    def record(self, instrument: Instrument, value: float, **labels: str) -> None:
        exporter = self._exporter(instrument)
        common = {name: text for name, text in self._labels.items() if name in instrument.labels}
        tags = {**common, **labels}
        if isinstance(exporter, metrics.Counter):
            if value > 0:  # Ray refuses 0
                exporter.inc(value, tags)
        elif isinstance(exporter, metrics.Gauge):
            exporter.set(value, tags)
        else:
            exporter.observe(value, tags)

    def total(self, counter: Instrument, total: float, **labels: str) -> None:
        """Adds what a running total has grown by since the last call with these labels."""
        key = (counter.name, *labels.values())
        self.record(counter, total - self._totals.get(key, 0.0), **labels)
        self._totals[key] = total

    def _exporter(self, instrument: Instrument) -> Exporter:
        with self._lock:
            if (found := self._exporters.get(instrument.name)) is None:
                found = self._exporters[instrument.name] = _exporter(instrument)
            return found


def _exporter(instrument: Instrument) -> Exporter:
    about = {"description": f"{instrument.help} ({instrument.unit})", "tag_keys": instrument.labels}
    if instrument.kind == "histogram":
        return metrics.Histogram(instrument.name, boundaries=list(instrument.buckets), **about)
    return {"counter": metrics.Counter, "gauge": metrics.Gauge}[instrument.kind](instrument.name, **about)
