"""Uploaded voices on the real graph with two ingress processes: deletion, names, damage, modes."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import signal
import stat
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from deployments import private_files
from serve_app.backends.graph import FORGET_S
from serve_app.voices.names import id_of
from tests.serve.conftest import Cluster

PROCESSES = 2  # of the ingress, and of the voice encoder
SOON_S = 5.0


@dataclass(frozen=True)
class Service:
    http: str
    data: Path

    def left(self, voice_id: str) -> list[str]:
        """All paths on disk that contain the voice's id."""
        found = [path for path in self.data.rglob("*") if voice_id in str(path)]
        return sorted(str(path.relative_to(self.data)) for path in found)


@pytest.fixture(scope="module")
def service(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    from ray import serve

    from serve_app.app import build

    data = tmp_path_factory.mktemp("data") / "chorale"
    data.mkdir(0o755)  # as created by an earlier version
    args = {"data_dir": str(data)}
    args |= {stage: {"replicas": PROCESSES} for stage in ("ingress", "voice_encoder")}
    serve.run(build(args), name="voices", route_prefix="/voices")
    yield Service(f"{cluster.http}/voices", data)
    serve.delete("voices")


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service.http, timeout=60) as client:
        yield client


def hum(pitch: float) -> bytes:
    """A 2 s recording."""
    t = np.arange(32000) / 16000
    wave = 0.3 * sum(np.sin(2 * np.pi * pitch * k * t) / k for k in (1, 2, 3)) * (1 + 0.3 * np.sin(9 * t))
    file = io.BytesIO()
    soundfile.write(file, wave, 16000, "PCM_16", format="WAV")
    return file.getvalue()


async def upload(client: httpx.AsyncClient, name: str, recording: bytes) -> str:
    answer = await client.post(
        "/v1/audio/voices", data={"name": name}, files={"audio_sample": ("a.wav", recording)}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


async def speak(client: httpx.AsyncClient, voice: str) -> httpx.Response:
    body = {"model": "tts-1", "input": "Hello.", "voice": voice, "seed": 1, "response_format": "pcm"}
    return await client.post("/v1/audio/speech", json=body)


async def spoken(client: httpx.AsyncClient, voice: str, times: int = 1) -> bytes:
    """The sound, which must be the same from every process."""
    answers = [await speak(client, voice) for _ in range(times)]
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    assert len({answer.content for answer in answers}) == 1
    return answers[0].content


async def held(client: httpx.AsyncClient) -> tuple[list[int], list[dict[str, int]]]:
    """The cached prompts of each ingress process, and the status of each voice encoder's cache."""
    from ray import serve

    ingress: dict[int, int] = {}
    for _ in range(200):
        status = (await client.get("/v1/status")).json()["ingress"]
        ingress[status["pid"]] = status["prompts"]["entries"]
        if len(ingress) == PROCESSES:
            break
    assert len(ingress) == PROCESSES
    encoders = serve.get_deployment_handle("VoiceEncoder", "voices").broadcast("status")
    return [ingress[pid] for pid in sorted(ingress)], [
        one["prompts"] for one in await encoders.results_async(timeout_s=20)
    ]


async def everywhere(client: httpx.AsyncClient, voice: str, before: list[int]) -> bytes:
    """Speaks until every ingress process caches more prompts than before. Returns the sound."""
    for _ in range(20):
        sound = await spoken(client, voice, 4)
        if all(now > then for now, then in zip((await held(client))[0], before, strict=True)):
            return sound
    pytest.fail("not every process was asked")


@pytest.mark.timeout(240)
async def test_a_deleted_voice_is_gone_from_disk_and_from_every_process(service: Service, client) -> None:
    await spoken(client, "clara")
    ingress_before, encoders_before = await held(client)
    voice_id = await upload(client, "Mine", hum(150))
    mine = await everywhere(client, "Mine", ingress_before)
    (kept,) = [path for path in service.left(voice_id) if path.endswith(".safetensors")]
    assert sum(one["entries"] for one in (await held(client))[1]) > sum(
        one["entries"] for one in encoders_before
    )
    # a prompt from another encoder, and a request in progress during the deletion
    other = service.data / "prompts/another" / Path(kept).name
    private_files.make_folder(other.parent)
    private_files.write(other, (service.data / kept).read_bytes())
    speaking = asyncio.create_task(speak(client, "Mine"))
    await asyncio.sleep(0.05)

    began = time.monotonic()
    assert (await client.delete(f"/v1/audio/voices/{voice_id}")).status_code == 200
    assert time.monotonic() - began < SOON_S
    assert (await speaking).content in (mine, (await speak(client, "Mine")).content)
    while service.left(voice_id) or (await held(client))[0] != ingress_before:
        assert time.monotonic() - began < SOON_S, (service.left(voice_id), await held(client))
        await asyncio.sleep(0.1)
    encoders = (await held(client))[1]
    on_disk = len(list((service.data / "prompts").rglob("*.safetensors")))
    assert sum(one["entries"] for one in encoders) == sum(one["entries"] for one in encoders_before)
    assert {one["disk_entries"] for one in encoders} == {on_disk}
    assert os.listdir(service.data / "voices") == []
    for _ in range(4):
        assert (await client.get(f"/v1/audio/voices/{voice_id}")).status_code == 404
        for name in ("Mine", voice_id):
            refused = await speak(client, name)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "voice_not_found")

    # the same name now refers to the new voice in every process
    assert await upload(client, "Mine", hum(260)) == voice_id
    assert await spoken(client, "Mine", 8) != mine
    assert (await client.delete("/v1/audio/voices/mine")).status_code == 200
    assert service.left(voice_id) == []


@pytest.mark.timeout(240)
async def test_a_busy_replica_does_not_delay_a_deletion_and_catches_up(service: Service, client) -> None:
    from ray import serve

    encoders = serve.get_deployment_handle("VoiceEncoder", "voices")

    async def entries() -> dict[int, int]:
        replies = await encoders.broadcast("status").results_async(timeout_s=20)
        return {one["pid"]: one["prompts"]["entries"] for one in replies}

    before = await entries()
    voice_id = await upload(client, "mine", hum(210))
    (holder,) = [pid for pid, count in (await entries()).items() if count > before[pid]]
    os.kill(holder, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert (await client.delete(f"/v1/audio/voices/{voice_id}")).status_code == 200
        assert time.monotonic() - began < FORGET_S + 2
        assert service.left(voice_id) == []
        assert (await speak(client, "mine")).status_code == 400
    finally:
        os.kill(holder, signal.SIGCONT)
    while await entries() != before:
        assert time.monotonic() - began < 20
        await asyncio.sleep(0.1)


@pytest.mark.timeout(120)
async def test_no_voice_can_take_the_id_of_another(client) -> None:
    for name in (id_of("mine"), id_of("mine").upper(), f" {id_of('mine')} "):
        refused = await client.post(
            "/v1/audio/voices", data={"name": name}, files={"audio_sample": ("a.wav", hum(120))}
        )
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "name")
    assert await upload(client, "mine", hum(180)) == id_of("mine")
    assert await spoken(client, id_of("mine"), 4) == await spoken(client, "mine")
    assert (await client.delete(f"/v1/audio/voices/{id_of('mine')}")).status_code == 200


@pytest.mark.timeout(120)
async def test_a_damaged_voice_affects_no_other(service: Service, client) -> None:
    broken, sound = await upload(client, "broken", hum(140)), await upload(client, "sound", hum(190))
    before = await spoken(client, "sound")
    (service.data / "voices" / broken / "meta.json").write_bytes(b"{")
    for _ in range(4):
        listed = (await client.get("/v1/audio/voices")).json()["data"]
        assert [voice["id"] for voice in listed if not voice["shipped"]] == [sound]
        assert (await speak(client, "broken")).status_code == 400
    assert await spoken(client, "sound", 4) == before
    assert (await client.delete(f"/v1/audio/voices/{broken}")).status_code == 200
    assert service.left(broken) == []
    assert await upload(client, "broken", hum(170)) == broken
    for voice_id in (broken, sound):
        assert (await client.delete(f"/v1/audio/voices/{voice_id}")).status_code == 200


@pytest.mark.timeout(120)
async def test_other_users_have_no_access_and_requests_leave_no_files(service: Service, client) -> None:
    voice_id = await upload(client, "private", hum(160))
    await spoken(client, "private")
    before = service.left("")
    body = {"model": "tts-1", "input": "Hello.", "reference_audio": base64.b64encode(hum(230)).decode()}
    assert (await client.post("/v1/audio/speech", json=body)).status_code == 200
    assert service.left("") == before
    for path in (service.data, *service.data.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert (await client.delete(f"/v1/audio/voices/{voice_id}")).status_code == 200
