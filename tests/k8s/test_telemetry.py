"""The dashboard, the alerts and the tables of docs/metrics.md follow from the list of instruments."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from deployments.contract.telemetry import INSTRUMENTS
from k8s import telemetry

NAMES = re.compile(r"ray_chorale_\w+")
SERIES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
KNOWN = {one.exported + suffix: one for one in INSTRUMENTS for suffix in SERIES[one.kind]}
QUERIES = [query for panel in telemetry.PANELS for query in panel.queries.values()]
CONDITIONS = [alert.expr for alert in telemetry.ALERT_RULES]


def test_the_files_are_what_the_list_gives() -> None:
    for path, text in telemetry.written().items():
        assert path.read_text("utf-8") == text, f"{path.name}: run python -m k8s.telemetry"


@pytest.mark.parametrize("expr", QUERIES + CONDITIONS)
def test_an_expression_uses_only_metrics_and_labels_that_exist(expr: str) -> None:
    used = NAMES.findall(expr)
    assert used and not [name for name in used if name not in KNOWN]
    labels = {label for name in used for label in KNOWN[name].labels} | {"le"}
    grouped = [label.strip() for group in re.findall(r"by \(([^)]*)\)", expr) for label in group.split(",")]
    matched = re.findall(r'(\w+)=~?"', expr)
    assert not [label for label in grouped + matched if label not in labels]
    assert expr.count("(") == expr.count(")") and expr.count("{") == expr.count("}")
    for name in used:  # a rate of a gauge, or a counter without one, is a mistake
        rated = re.search(rf"(rate|increase)\({name}", expr) is not None
        assert rated == (KNOWN[name].kind != "gauge"), name


def test_the_dashboard_shows_every_metric() -> None:
    shown = {KNOWN[name] for query in QUERIES for name in NAMES.findall(query)}
    assert [one.name for one in INSTRUMENTS if one not in shown] == []


def test_the_dashboard_is_laid_out_without_overlap() -> None:
    board = json.loads(telemetry.DASHBOARD.read_text("utf-8"))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places) == len(telemetry.PANELS)
    assert all(
        len({target["refId"] for target in p["targets"]}) == len(p["targets"]) for p in board["panels"]
    )


def test_the_alerts_cover_what_they_must() -> None:
    rule = yaml.safe_load(telemetry.ALERTS.read_text("utf-8"))
    (group,) = rule["spec"]["groups"]
    assert rule["kind"] == "PrometheusRule"
    text = " ".join(one["expr"] for one in group["rules"])
    for name in ("ttfa_seconds_bucket", "requests_total", "lease_losses_total", "queue_age_seconds"):
        assert f"ray_chorale_{name}" in text
    assert all(re.fullmatch(r"\d+m", one["for"]) for one in group["rules"])
    for one in group["rules"]:  # a summary may name only labels that the expression keeps
        kept = {label.strip() for by in re.findall(r"by \(([^)]*)\)", one["expr"]) for label in by.split(",")}
        assert set(re.findall(r"\$labels\.(\w+)", one["annotations"]["summary"])) <= kept


def test_instruments_are_named_by_convention() -> None:
    names = [one.name for one in INSTRUMENTS]
    assert len(set(names)) == len(names)
    for one in INSTRUMENTS:
        assert re.fullmatch(r"chorale_[a-z_]+", one.name) and not one.name.endswith("_total")
        assert (one.kind == "histogram") == bool(one.buckets)
        assert list(one.buckets) == sorted(set(one.buckets))
        assert not {"deployment", "replica", "application", "route"} & set(one.labels)  # Serve's own
