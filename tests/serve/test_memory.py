"""On the real graph: voices are encoded once, memory is reported and freed, a config that does not fit is refused."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import soundfile

from deployments.leases.admission import QUEUE
from serve_app.runtime.ports import free_port
from tests.serve.conftest import Cluster
from tests.serve_app.runtime.test_application import launch

TEXT = "The kettle is on the stove."
BURST = 3  # slots of the GPT


def recording(pitch: float) -> str:
    """A 2 s hum in base64."""
    t = np.arange(32000) / 16000
    wave = 0.3 * sum(np.sin(2 * np.pi * pitch * k * t) / k for k in (1, 2, 3)) * (1 + 0.3 * np.sin(9 * t))
    file = io.BytesIO()
    soundfile.write(file, wave, 16000, "PCM_16", format="WAV")
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def service(cluster: Cluster, data_dir: str) -> Iterator[str]:
    from ray import serve

    deploy(data_dir)
    yield f"{cluster.http}/memory"
    serve.delete("memory")


def deploy(data_dir: str) -> None:
    from ray import serve

    from serve_app.app import build

    voices = {"replicas": 2, "keep_request_references": True}
    args = {"data_dir": data_dir, "voice_encoder": voices, "gpt": {"slots": "auto", "burst_slots": BURST}}
    serve.run(build(args), name="memory", route_prefix="/memory")


async def status_of(client: httpx.AsyncClient, http: str) -> dict:
    """A fresh status, after the cache of 2 s has expired and every model has reported."""
    await asyncio.sleep(2.1)
    for _ in range(100):
        status = (await client.get(f"{http}/v1/status")).json()
        status |= status["models"][status["model"]]
        if status["ready"] and all(status["stages"][stage]["replicas"] for stage in ("gpt", "vocoder")):
            return status
        await asyncio.sleep(0.5)
    pytest.fail(f"not every stage has spoken of itself: {status}")


async def speak(client: httpx.AsyncClient, http: str, reference: str) -> bytes:
    body = {
        "model": "chorale-small",
        "input": TEXT,
        "reference_audio": reference,
        "seed": 1,
        "response_format": "pcm",
    }
    answer = await client.post(f"{http}/v1/audio/speech", json=body)
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.timeout(240)
async def test_every_process_reports_its_memory(service: str) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        await speak(client, service, recording(120))
        status = await status_of(client, service)
    for stage in ("gpt", "vocoder"):
        (replica,) = status["stages"][stage]["replicas"].values()
        assert replica["memory"]["rss_bytes"] > 50 * 2**20
        assert replica["memory"]["weights_bytes"] > 2**20
        assert status["stages"][stage]["memory"]["rss_bytes"] > 0  # its scheduler's
    (gpt,) = status["stages"]["gpt"]["replicas"].values()
    slots = gpt["slots_suggested"]["suggested"]
    assert status["stages"]["gpt"]["slots"] == slots, "auto is what memory suggests"
    assert gpt["slots"] == slots + BURST
    assert status["stages"]["gpt"]["max_queue"] == max(QUEUE, slots) - BURST
    assert gpt["memory"]["kv_cache_bytes"] > slots * 2**20
    for stage in ("text_frontend", "voice_encoder"):
        assert status["stages"][stage]["memory"]["rss_bytes"] > 0
    assert status["ingress"]["prompts"]["bytes"] > 0


@pytest.mark.timeout(240)
async def test_a_voice_is_encoded_once_over_replicas_and_restarts(service: str, data_dir: str) -> None:
    from ray import serve

    encoder = serve.get_deployment_handle("VoiceEncoder", "memory")

    async def counted() -> dict[str, int]:
        replies = await encoder.broadcast("status").results_async()
        assert len(replies) == 2
        return {
            name: sum(one["prompts"][name] for one in replies)
            for name in ("encoded", "disk_hits", "memory_hits")
        }

    voice = recording(150)
    async with httpx.AsyncClient(timeout=60) as client:
        before = await counted()
        first = await speak(client, service, voice)
        assert (await counted())["encoded"] == before["encoded"] + 1
        for _ in range(6):  # reaches both replicas, because the ingress and the encoders have dropped it
            assert (await client.post(f"{service}/v1/cache/free")).status_code == 200
            assert await speak(client, service, voice) == first
        after = await counted()
        assert after["encoded"] == before["encoded"] + 1
        assert after["disk_hits"] == before["disk_hits"] + 6

        await asyncio.to_thread(serve.delete, "memory")
        await asyncio.to_thread(deploy, data_dir)
        encoder = serve.get_deployment_handle("VoiceEncoder", "memory")
        assert await speak(client, service, voice) == first
        again = await counted()
        assert (again["encoded"], again["disk_hits"]) == (0, 1), "new processes find it on disk"


@pytest.mark.timeout(240)
async def test_memory_is_freed_while_work_continues(service: str) -> None:
    voice = recording(180)
    async with httpx.AsyncClient(timeout=120) as client:
        alone = await speak(client, service, voice)
        work = [asyncio.create_task(speak(client, service, voice)) for _ in range(4)]
        answers = [(await client.post(f"{service}/v1/cache/free")).json() for _ in range(3)]
        assert [await task for task in work] == [alone] * 4
        status = await status_of(client, service)
    for answer in answers:
        stages = [process["stage"] for process in answer["processes"]]
        assert sorted(set(stages)) == [
            "gpt",
            "ingress",
            "job_runner",
            "text_frontend",
            "vocoder",
            "voice_encoder",
        ]
        assert stages.count("gpt") == stages.count("vocoder") == 2  # the replica and its scheduler
        assert stages.count("voice_encoder") == 2
        assert len({process["pid"] for process in answer["processes"]}) == len(stages)
        total = sum(process["after"]["rss_bytes"] for process in answer["processes"])
        assert answer["after"]["rss_bytes"] == total > 0
    assert status["stages"]["gpt"]["deaths"] == status["stages"]["vocoder"]["deaths"] == 0


@pytest.mark.nightly
@pytest.mark.timeout(400)
def test_a_config_that_does_not_fit_is_refused_with_the_bytes(tmp_path) -> None:
    process = launch(free_port(), CHORALE_GPT__SLOTS="90000", CHORALE_DATA_DIR=str(tmp_path))
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 2, out
    assert "gpt.slots: " in out and "90010 slots need 1384." in out and "GiB are free on cpu" in out, out
    assert "Traceback" not in out
