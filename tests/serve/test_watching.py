"""What a running service tells about itself: metrics, JSON logs, traces, and the states that others show."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile

from deployments.contract import telemetry
from deployments.contract.telemetry import INSTRUMENTS
from serve_app.config.access import hashed
from tests.serve.conftest import Cluster

KEY, APP = "sk-watched", "watched"
MODEL = "chorale-small"
REQUEST = "watched-request-1"
TRACE, CLIENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"  # of the client's trace and span
FIRST = {"x-request-id": REQUEST, "traceparent": f"00-{TRACE}-{CLIENT}-01"}
PROXY = "proxy"  # its guard counts what it refuses
SAMPLE = re.compile(r"(\w+)\{(.*)\} (\S+)")
# nothing on a CPU measures the first; a segment's codes are implausible too rarely to wait for
ABSENT = {telemetry.DEVICE_UTILIZATION, telemetry.SEGMENT_FAULTS}

Labels = dict[str, str]


@dataclass(frozen=True)
class Watched:
    http: str
    dashboard: str
    answers: dict[str, httpx.Response]


def body(text: str) -> dict[str, Any]:
    return {"model": MODEL, "input": text, "voice": "clara", "seed": 7, "response_format": "wav"}


@pytest.fixture(scope="module")
def watched(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A service with one key and JSON logs, after real traffic and the death of its Gpt."""
    from ray import serve

    from serve_app.app import build

    args = {
        "data_dir": str(tmp_path_factory.mktemp("data")),
        "access": {"keys": {"tests": {"hash": hashed(KEY), "admin": True}}},
        "logs": {"format": "json", "level": "debug"},
    }
    serve.run(build(args), name=APP, route_prefix="/")
    answers = asyncio.run(traffic(cluster.http))
    yield Watched(cluster.http, cluster.dashboard, answers)
    serve.delete(APP)


async def traffic(http: str) -> dict[str, httpx.Response]:
    from ray import serve

    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=http, timeout=120, headers=headers) as client:

        async def speak(text: str, **headers: str) -> httpx.Response:
            return await client.post("/v1/audio/speech", json=body(text), headers=headers)

        answers = {
            "first": await speak("The first sentence is spoken.", **FIRST),
            "second": await speak("The second one has the same voice."),
            "no voice": await client.post("/v1/audio/speech", json=body("Hello.") | {"voice": "nobody"}),
            "no key": await speak("Hello.", authorization="Bearer sk-other"),
            "no route": await client.get("/v1/nothing"),
            "too long": await speak("x" * 1_600_000),  # for the guard in the proxy
        }
        scheduler = serve.get_deployment_handle("GptScheduler", APP)
        (replica,) = (await scheduler.status.remote())["replicas"].values()
        speaking = asyncio.create_task(speak("This sentence is spoken while the replica dies. " * 4))
        while not (await scheduler.status.remote())["active"]:
            await asyncio.sleep(0.01)
        os.kill(replica["pid"], signal.SIGKILL)
        answers["killed"] = await speaking
    return answers


def samples() -> dict[str, list[tuple[Labels, float]]]:
    """The samples of all metrics of the application at Ray's port, by name."""
    import ray

    port = ray.nodes()[0]["MetricsExportPort"]
    found: dict[str, list[tuple[Labels, float]]] = defaultdict(list)
    for line in httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text.splitlines():
        if match := SAMPLE.fullmatch(line):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
            if labels.get("application") == APP or labels.get("endpoint") == PROXY:
                found[match[1]].append((labels, float(match[3])))
    return found


def total(name: str, **labels: str) -> float:
    chosen = [value for found, value in samples()[name] if found.items() >= labels.items()]
    return sum(chosen)


def eventually(fulfilled: Callable[[], bool], within: float = 40.0) -> bool:
    deadline = time.monotonic() + within
    while not (found := fulfilled()) and time.monotonic() < deadline:
        time.sleep(1.0)
    return found


def missing() -> list[str]:
    found = samples()
    suffix = {"histogram": "_count"}
    wanted = [one.exported + suffix.get(one.kind, "") for one in INSTRUMENTS if one not in ABSENT]
    return [name for name in wanted if not found[name]]


@pytest.mark.timeout(300)
def test_every_metric_is_at_the_port_with_its_labels(watched: Watched) -> None:
    assert {name: answer.status_code for name, answer in watched.answers.items()} == {
        "first": 200, "second": 200, "no voice": 400, "no key": 401, "no route": 404, "too long": 413, "killed": 200
    }  # fmt: skip
    assert eventually(lambda: not missing()), missing()
    found = samples()
    for one in INSTRUMENTS:
        for name in (one.exported, f"{one.exported}_count"):
            for labels, _ in found.get(name, ()):
                serves = {"deployment", "replica"} if labels.get("endpoint") != PROXY else set()
                assert {*one.labels, *serves} <= labels.keys()
                assert labels.get("model", MODEL) == MODEL
    assert {labels["stage"] for labels, _ in found[telemetry.LEASES.exported]} == {"gpt", "vocoder"}


@pytest.mark.timeout(300)
def test_the_metrics_count_what_happened(watched: Watched) -> None:
    spoken = [answer for answer in watched.answers.values() if answer.status_code == 200]
    seconds = sum(soundfile.info(io.BytesIO(answer.content)).duration for answer in spoken)
    requests, errors = telemetry.REQUESTS.exported, telemetry.ERRORS.exported
    speech = {"endpoint": "/v1/audio/speech"}
    assert eventually(lambda: total(requests, status="200", **speech) == len(spoken))
    assert total(requests, status="401", **speech) == total(errors, code="invalid_api_key", **speech) == 1
    assert total(requests, status="400", **speech) == total(errors, status="400", **speech) == 1
    assert total(errors, code="unknown_url", endpoint="unknown") == 1
    assert total(errors, code="request_too_large", endpoint=PROXY) >= 1  # other tests may have added some
    assert total(f"{telemetry.TTFA.exported}_count") == len(spoken)
    assert total(telemetry.AUDIO_SECONDS.exported, source="request") == pytest.approx(seconds, abs=0.05)
    assert total(telemetry.PROMPTS.exported, source="encoded") == 1
    assert total(telemetry.PROMPTS.exported, source="ingress") == len(spoken) - 1
    assert eventually(lambda: total(telemetry.LEASE_LOSSES.exported, stage="gpt") == 1)
    assert total(telemetry.STREAMS.exported) == 0
    assert total(telemetry.DEVICE_MEMORY.exported, kind="weights", stage="vocoder") > 1e6


@pytest.mark.timeout(300)
def test_serve_the_dashboard_and_the_status_agree_with_the_metrics(watched: Watched) -> None:
    from ray import serve
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

    def state() -> dict[str, Any]:
        headers = {"authorization": f"Bearer {KEY}"}
        status = httpx.get(f"{watched.http}/v1/status", headers=headers, timeout=30).json()
        return status["models"][MODEL]

    assert eventually(lambda: state()["ready"])
    ours = serve.status().applications[APP]
    shown = ServeSubmissionClient(watched.dashboard).get_serve_details()["applications"][APP]
    assert ours.status.value == shown["status"] == "RUNNING"
    assert ours.deployments.keys() == shown["deployments"].keys()
    for name, deployment in ours.deployments.items():
        there = shown["deployments"][name]
        running = [replica for replica in there["replicas"] if replica["state"] == "RUNNING"]
        assert deployment.status.value == there["status"] == "HEALTHY"
        assert deployment.replica_states["RUNNING"] == len(running) == 1
    for stage in ("gpt", "vocoder"):
        said = state()["stages"][stage]
        pids = {replica["pid"] for replica in shown["deployments"][stage.capitalize()]["replicas"]}
        assert {replica["pid"] for replica in said["replicas"].values()} == pids
        done = {"stage": stage, "outcome": "completed"}
        assert eventually(
            lambda said=said, done=done: total(telemetry.ITEMS.exported, **done) == said["completed"]
        )
        assert total(telemetry.LEASES.exported, stage=stage) == said["leases"] == 1
        assert total(telemetry.LEASE_LOSSES.exported, stage=stage) == said["deaths"]


def logs() -> Path:
    from ray._private import worker

    assert worker._global_node is not None
    return Path(worker._global_node.get_logs_dir_path()) / "serve"


def test_json_logs_have_the_request_in_every_stage(watched: Watched) -> None:
    lines = [
        json.loads(line)
        for file in logs().glob(f"replica_{APP}_*.log")
        for line in file.read_text().splitlines()
        if line.startswith("{")
    ]
    assert len(lines) > 20
    ours = [line for line in lines if line.get("request_id") == REQUEST]
    said = {line["deployment"].removeprefix(f"{APP}_"): line for line in ours}
    stages = {"Ingress", "TextFrontend", "GptScheduler", "Gpt", "VocoderScheduler", "Vocoder"}
    assert said.keys() >= stages, said.keys()  # a prompt of the voice encoder may serve several requests
    assert said["Vocoder"]["item"].startswith(f"{REQUEST}.")
    assert KEY not in "".join(map(str, lines))


def spans() -> dict[str, dict[str, Any]]:
    """The spans that Serve's exporter has written, by id."""
    found, decoder = {}, json.JSONDecoder()
    for file in (logs() / "spans").iterdir():
        text = file.read_text()
        while text := text.strip():
            try:
                span, end = decoder.raw_decode(text)
            except json.JSONDecodeError:  # it is being written
                break
            found[span["context"]["span_id"].removeprefix("0x")] = span
            text = text[end:]
    return found


def ways(found: dict[str, dict[str, Any]], name: str) -> set[tuple[str, ...]]:
    """The names of each span `name` of the trace and of all that it is in, the outermost first."""
    ways = set[tuple[str, ...]]()
    for span in found.values():
        if span["name"] == name and span["context"]["trace_id"] == f"0x{TRACE}":
            names, parent = [name], span["parent_id"].removeprefix("0x")
            while parent in found:
                names.append(found[parent]["name"])
                parent = found[parent]["parent_id"].removeprefix("0x")
            ways.add(tuple(reversed([*names, "client"] if parent == CLIENT else names)))
    return ways


@pytest.mark.timeout(300)
def test_one_trace_reaches_from_the_client_to_the_items_of_gpt_and_vocoder(watched: Watched) -> None:
    def way(*inner: str) -> set[tuple[str, ...]]:
        outer = ("proxy_http_request Ingress POST /v1/audio/speech", "route_to_replica Ingress __call__")
        return {("client", *outer, "replica_handle_request Ingress __call__", *inner)}

    def to(stage: str, call: str) -> tuple[str, str]:
        return f"route_to_replica {stage} {call}", f"replica_handle_request {stage} {call}"

    wanted = [
        way(*to("TextFrontend", "segments")),
        way(*to("GptScheduler", "submit"), "item Gpt"),
        way(*to("VocoderScheduler", "finish"), "item Vocoder"),
    ]
    last = [next(iter(each))[-1] for each in wanted]
    found: list[set[tuple[str, ...]]] = []

    def complete() -> bool:
        written = spans()
        found[:] = [ways(written, name) for name in last]
        return found == wanted

    assert eventually(complete), found
    traces = {span["context"]["trace_id"] for span in spans().values()}
    assert traces == {f"0x{TRACE}"}, "a request is traced whose client does not ask for it"
    items = [span for span in spans().values() if span["name"] in ("item Gpt", "item Vocoder")]
    assert {span["attributes"]["request_id"] for span in items} == {REQUEST}
