"""Writes what follows from the list of instruments: dashboard, alert rules, and the tables of docs/metrics.md.

    .venv/bin/python -m k8s.telemetry

A test fails when the files differ from what this writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deployments.contract import telemetry as t
from deployments.contract.telemetry import GROUPS, Instrument

ROOT = Path(__file__).resolve().parents[1]
DASHBOARD = ROOT / "k8s/base/dashboards/chorale.json"
ALERTS = ROOT / "k8s/base/alerts.yaml"
PAGE = ROOT / "docs/metrics.md"
WINDOW = "$__rate_interval"  # Grafana's, which suits the scrape interval


def series(instrument: Instrument, suffix: str = "", **more: str) -> str:
    """The instrument's series of the chosen models. more: further label matchers."""
    matchers = [f'{name}="{text}"' for name, text in more.items()]
    if "model" in instrument.labels:
        matchers.append('model=~"$model"')
    return f"{instrument.exported}{suffix}{{{', '.join(matchers)}}}"


def rate(counter: Instrument, *by: str, **more: str) -> str:
    """Per second."""
    grouped = f"sum by ({', '.join(by)})" if by else "sum"
    return f"{grouped} (rate({series(counter, **more)}[{WINDOW}]))"


def quantile(histogram: Instrument, share: float, *by: str) -> str:
    buckets = f"sum by (le, {', '.join(by)}) (rate({series(histogram, '_bucket')}[{WINDOW}]))"
    return f"histogram_quantile({share}, {buckets})"


def gauge(instrument: Instrument, *by: str, how: str = "sum", **more: str) -> str:
    return f"{how} by ({', '.join(by)}) ({series(instrument, **more)})"


@dataclass(frozen=True, slots=True)
class Panel:
    """queries: PromQL by legend. unit: as Grafana names it."""

    title: str
    unit: str
    queries: dict[str, str]


_OF, _STAGE = "{{model}}", "{{model}} {{stage}}"
PANELS = (
    Panel(
        "Time to first audio",
        "s",
        {f"p{share * 100:.0f} {_OF}": quantile(t.TTFA, share, "model") for share in (0.5, 0.95, 0.99)},
    ),
    Panel("Requests", "reqps", {"{{endpoint}} {{status}}": rate(t.REQUESTS, "endpoint", "status")}),
    Panel("Errors by code", "reqps", {"{{code}} ({{status}})": rate(t.ERRORS, "code", "status")}),
    Panel(
        "Share of 429",
        "percentunit",
        {"429": f"{rate(t.REQUESTS, status='429')} / {rate(t.REQUESTS)}"},
    ),
    Panel(
        "Real-time factor",
        "none",
        {f"p95 {_OF} {{{{source}}}}": quantile(t.RTF, 0.95, "model", "source")},
    ),
    Panel("Sound per second", "s", {f"{_OF} {{{{source}}}}": rate(t.AUDIO_SECONDS, "model", "source")}),
    Panel("Characters per second", "none", {f"{_OF} {{{{source}}}}": rate(t.CHARACTERS, "model", "source")}),
    Panel("Responses being sent", "none", {"all": f"sum ({series(t.STREAMS)})"}),
    Panel("Faulty segments", "ops", {f"{_OF} {{{{fault}}}}": rate(t.SEGMENT_FAULTS, "model", "fault")}),
    Panel("Voice prompts by source", "ops", {f"{_OF} {{{{source}}}}": rate(t.PROMPTS, "model", "source")}),
    Panel("Queue depth", "none", {_STAGE: gauge(t.QUEUE_DEPTH, "model", "stage")}),
    Panel("Age of the queue", "s", {_STAGE: gauge(t.QUEUE_AGE, "model", "stage", how="max")}),
    Panel("Wait for the first slot", "s", {f"p95 {_STAGE}": quantile(t.QUEUE_WAIT, 0.95, "model", "stage")}),
    Panel(
        "Slots",
        "none",
        {
            f"used {_STAGE}": gauge(t.IN_SLOTS, "model", "stage"),
            f"all {_STAGE}": gauge(t.SLOTS, "model", "stage"),
        },
    ),
    Panel(
        "Leases",
        "none",
        {
            f"open {_STAGE}": gauge(t.LEASES, "model", "stage"),
            f"wanted {_STAGE}": gauge(t.LEASES_WANTED, "model", "stage"),
            f"demand {_STAGE}": gauge(t.DEMAND, "model", "stage"),
        },
    ),
    Panel("Lost leases", "ops", {_STAGE: rate(t.LEASE_LOSSES, "model", "stage")}),
    Panel("Items by outcome", "ops", {f"{_STAGE} {{{{outcome}}}}": rate(t.ITEMS, "model", "stage", "outcome")}),
    Panel("Codes per second", "none", {_OF: rate(t.CODES, "model")}),
    Panel(
        "Batch size",
        "none",
        {_STAGE: f"{rate(t.BATCH_ROWS, 'model', 'stage')} / {rate(t.STEPS, 'model', 'stage')}"},
    ),
    Panel("Steps: graph replays and eager", "ops", {f"{_STAGE} {{{{path}}}}": rate(t.STEPS, "model", "stage", "path")}),
    Panel("Device memory", "bytes", {f"{_STAGE} {{{{kind}}}}": gauge(t.DEVICE_MEMORY, "model", "stage", "kind")}),
    Panel("Device utilization", "percent", {_STAGE: gauge(t.DEVICE_UTILIZATION, "model", "stage", how="max")}),
    Panel("Jobs by state", "none", {"{{state}}": gauge(t.JOBS, "state", how="max")}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Alert:
    """expr: PromQL over all models. held: for how long it must be true."""

    name: str
    expr: str
    held: str
    severity: str
    summary: str
    description: str


_SPEECH = f'{t.REQUESTS.exported}{{endpoint="/v1/audio/speech"'
ALERT_RULES = (
    Alert(
        "ChoraleFirstAudioLate",
        f"histogram_quantile(0.95, sum by (le, model) (rate({t.TTFA.exported}_bucket[5m]))) > 2",
        "10m",
        "warning",
        "p95 of the time to first audio of {{ $labels.model }} is above 2 s",
        "More replicas of the GPT, smaller first chunks (configs/latency.yaml) or fewer requests help.",
    ),
    Alert(
        "ChoraleRequestsRejected",
        f'sum (rate({_SPEECH}, status="429"}}[5m])) / sum (rate({_SPEECH}}}[5m])) > 0.05',
        "10m",
        "warning",
        "{{ $value | humanizePercentage }} of the speech requests get 429",
        "The queue is full, or clients exceed the limits of their keys: see chorale_errors by code.",
    ),
    Alert(
        "ChoraleServerErrors",
        f'sum (rate({t.REQUESTS.exported}{{status=~"5.."}}[5m])) / sum (rate({t.REQUESTS.exported}[5m])) > 0.01',
        "5m",
        "critical",
        "{{ $value | humanizePercentage }} of the requests fail in the server",
        "The log of the ingress has the reasons; a 503 means that a stage is away.",
    ),
    Alert(
        "ChoraleLeasesLost",
        f"sum by (model, stage) (increase({t.LEASE_LOSSES.exported}[10m])) > 2",
        "0m",
        "warning",
        "replicas of {{ $labels.stage }} of {{ $labels.model }} keep dying",
        "Their work resumes on other replicas. The log of the scheduler names the leases; look for memory limits.",
    ),
    Alert(
        "ChoraleQueueOld",
        f"max by (model, stage) ({t.QUEUE_AGE.exported}) > 10",
        "2m",
        "warning",
        "work has waited {{ $value | humanizeDuration }} for {{ $labels.stage }} of {{ $labels.model }}",
        "Autoscaling has reached its limit, or no replica starts.",
    ),
)


def dashboard() -> str:
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels = []
    for number, panel in enumerate(PANELS):
        targets = [
            {"refId": chr(ord("A") + place), "expr": expr, "legendFormat": legend, "datasource": source}
            for place, (legend, expr) in enumerate(panel.queries.items())
        ]
        panels.append(
            {
                "id": number + 1,
                "type": "timeseries",
                "title": panel.title,
                "datasource": source,
                "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
                "gridPos": {"h": 8, "w": 8, "x": number % 3 * 8, "y": number // 3 * 8},
                "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
                "targets": targets,
            }
        )
    models = f"label_values({t.QUEUE_DEPTH.exported}, model)"
    board: dict[str, Any] = {
        "uid": "chorale",
        "title": "Chorale",
        "tags": ["chorale", "ray"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                {
                    "name": "model",
                    "type": "query",
                    "datasource": source,
                    "query": models,
                    "refresh": 2,
                    "includeAll": True,
                    "allValue": ".*",
                    "multi": True,
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": panels,
    }
    return json.dumps(board, indent=1) + "\n"


def alerts() -> str:
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.held,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "description": alert.description},
        }
        for alert in ALERT_RULES
    ]
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "chorale", "labels": {"app.kubernetes.io/name": "chorale"}},
        "spec": {"groups": [{"name": "chorale", "rules": rules}]},
    }
    head = "# Written by k8s/telemetry.py.\n"
    return head + yaml.safe_dump(resource, sort_keys=False, allow_unicode=True, width=120)


def page(text: str) -> str:
    """docs/metrics.md with new tables."""
    for name, lines in {"metrics": _metrics(), "alerts": _alerts()}.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        block = "\n".join([begin, "", *lines, "", end])
        text = re.sub(f"{begin}.*?{end}", lambda _, block=block: block, text, flags=re.DOTALL)
    return text


def _metrics() -> Iterator[str]:
    for number, (group, instruments) in enumerate(GROUPS.items()):
        yield from [""] * bool(number)
        yield from (f"### {group}", "", "| metric | kind | unit | labels | |", "|---|---|---|---|---|")
        for one in instruments:
            labels = ", ".join(f"`{label}`" for label in one.labels)
            yield f"| `{one.exported}` | {one.kind} | {one.unit} | {labels} | {one.help} |"


def _alerts() -> Iterator[str]:
    yield from ("| alert | for | severity | fires when |", "|---|---|---|---|")
    for alert in ALERT_RULES:
        condition = alert.expr.replace("|", "\\|")
        yield f"| {alert.name} | {alert.held} | {alert.severity} | `{condition}` |"


def written() -> dict[Path, str]:
    """Every file's content."""
    return {DASHBOARD: dashboard(), ALERTS: alerts(), PAGE: page(PAGE.read_text("utf-8"))}


if __name__ == "__main__":
    for path, text in written().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
