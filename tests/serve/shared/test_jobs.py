"""Jobs on the real graph: they survive the death of every process, and their sound does not change."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import soundfile

from serve_app.runtime.ports import free_port
from tests.serve.conftest import Service

SENTENCES = Path("tests/data/sentences.txt").read_text().splitlines()
FINISHED = ("done", "done_with_faults", "failed", "cancelled")
TEXT = "\n\n".join(" ".join(SENTENCES[n : n + 4]) for n in range(0, 16, 4))


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service.http, timeout=120) as client:
        yield client


def body(**fields: Any) -> dict[str, Any]:
    return {"input": TEXT, "voice": "alloy", "seed": 3, "format": "wav"} | fields


async def submitted(client: httpx.AsyncClient, **fields: Any) -> str:
    answer = await client.post("/v1/jobs", json=body(**fields))
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def until(
    client: httpx.AsyncClient, job_id: str, holds: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    while True:
        try:
            answer = await client.get(f"/v1/jobs/{job_id}")
        except httpx.HTTPError:
            await asyncio.sleep(0.5)
            continue
        if answer.status_code == 200 and holds(job := answer.json()):
            return job
        assert answer.status_code in (200, 429, 503), answer.text
        await asyncio.sleep(0.1)


async def sound(client: httpx.AsyncClient, job_id: str) -> np.ndarray:
    job = await until(client, job_id, lambda job: job["state"] in FINISHED)
    assert job["state"] == "done", (job["error"], (await client.get(f"/v1/jobs/{job_id}/log")).text)
    audio = await client.get(f"/v1/jobs/{job_id}/audio")
    return soundfile.read(io.BytesIO(audio.content), dtype="int16")[0]


async def spoken(client: httpx.AsyncClient, job_id: str, least: int) -> dict[str, Any]:
    return await until(client, job_id, lambda job: job["progress"]["segments_done"] >= least)


@pytest.fixture(scope="module")
def alone(service: Service) -> np.ndarray:
    """The book of `TEXT`, undisturbed."""

    async def made() -> np.ndarray:
        async with httpx.AsyncClient(base_url=service.http, timeout=300) as client:
            job_id = await submitted(client)
            found = await sound(client, job_id)
            await client.delete(
                f"/v1/jobs/{job_id}"
            )  # its sounds too, so that the next job speaks them itself
            return found

    return asyncio.run(made())


async def test_a_job_reports_its_progress_and_the_device(
    client: httpx.AsyncClient, alone: np.ndarray
) -> None:
    job_id = await submitted(client)
    job = await until(client, job_id, lambda job: bool(job["progress"]["batch_seconds"]))
    progress = job["progress"]
    assert job["state"] in ("generating", "converting", "done") and job["device"]["name"]
    assert progress["characters_per_second"] > 0 and progress["real_time_factor"] > 0
    assert progress["elapsed"].split()[1] in ("s", "min") and job["process"]["memory_bytes"] > 10**7
    np.testing.assert_array_equal(await sound(client, job_id), alone)
    await client.delete(f"/v1/jobs/{job_id}")


async def test_interactive_requests_are_answered_while_jobs_run(
    client: httpx.AsyncClient, service: Service
) -> None:
    ids = [await submitted(client, seed=seed) for seed in (11, 12, 13)]
    await spoken(client, ids[0], 1)
    speech = {
        "model": "tts-1",
        "input": "Good morning.",
        "voice": "alloy",
        "seed": 1,
        "response_format": "wav",
    }
    answer = await client.post("/v1/audio/speech", json=speech)
    assert answer.status_code == 200
    states = [(await client.get(f"/v1/jobs/{job_id}")).json() for job_id in ids]
    assert not all(job["state"] in FINISHED for job in states)
    assert [job["state"] for job in states].count("queued") >= 1 or states[2]["started_at"] is not None
    for job_id in ids:
        await client.post(f"/v1/jobs/{job_id}/cancel")
    for job_id in ids:
        await until(client, job_id, lambda job: job["state"] in FINISHED)
    assert (await client.post("/v1/jobs/clean")).json()["deleted"] == 3


def job_runner() -> int:
    """The process id of the JobRunner."""
    import ray
    from ray.util.state import list_actors

    address = ray.get_runtime_context().gcs_address
    alive = [("state", "=", "ALIVE")]
    found = [
        actor for actor in list_actors(address=address, filters=alive) if "JobRunner" in actor["class_name"]
    ]
    return found[0]["pid"] if found else 0


VICTIMS: dict[str, Callable[[dict[str, Any]], int]] = {
    "JobRunner": lambda stages: job_runner(),
    "Gpt": lambda stages: next(iter(stages["gpt"]["replicas"].values()))["pid"],
    "Vocoder": lambda stages: next(iter(stages["vocoder"]["replicas"].values()))["pid"],
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("victim", VICTIMS)
async def test_a_killed_process_costs_a_job_nothing(
    client: httpx.AsyncClient, service: Service, alone: np.ndarray, victim: str
) -> None:
    job_id, killed = await submitted(client), set[int]()
    for least in (2, 9):
        await spoken(client, job_id, least)
        pid = 0
        while not pid or pid in killed:  # a status may still have the one that was killed
            await asyncio.sleep(0.2)
            status = (await client.get("/v1/status")).json()
            stages = status["models"][status["model"]]["stages"]
            if stages["gpt"].get("replicas") and stages["vocoder"].get("replicas"):
                pid = VICTIMS[victim](stages)
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)
    np.testing.assert_array_equal(await sound(client, job_id), alone)
    report = (await client.get(f"/v1/jobs/{job_id}/report")).json()
    assert report["complete"] and report["faulty"] == 0
    await client.delete(f"/v1/jobs/{job_id}")


@pytest.mark.nightly
@pytest.mark.timeout(600)
async def test_a_killed_service_goes_on_with_its_jobs(alone: np.ndarray, tmp_path: Path) -> None:
    """SIGKILL of every process of `chorale serve`, twice."""
    data, port = tmp_path / "data", free_port()
    environ = {**os.environ, "CHORALE_DATA_DIR": str(data)}
    environ.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-m", "serve_app.cli.main", "serve", "--port", str(port)]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
        job_id = None
        for least in (2, 9, None):
            process = await asyncio.to_thread(started, command, environ)
            try:
                while not await _ready(client):
                    assert process.poll() is None
                    await asyncio.sleep(0.5)
                job_id = job_id or await submitted(client)
                if least is None:
                    np.testing.assert_array_equal(await sound(client, job_id), alone)
                    report = (await client.get(f"/v1/jobs/{job_id}/report")).json()
                    assert report["complete"] and report["segments"] == report["spoken"]
                else:
                    await spoken(client, job_id, least)
            finally:
                _kill_all(process.pid)
                process.wait()


def started(command: list[str], environ: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/ready")).status_code == 200
    except httpx.HTTPError:
        return False


def _kill_all(pid: int) -> None:
    """A process and all that it started, the parents first, so that nothing is started again."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    deadline = time.monotonic() + 30
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family):
        assert time.monotonic() < deadline
        time.sleep(0.1)
