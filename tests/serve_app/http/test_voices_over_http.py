"""Uploaded voices over HTTP: stored files, deletion, ownership of names."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from serve_app.config.settings import Settings
from serve_app.http.app import create_app
from serve_app.models import REQUESTS
from serve_app.service import Service
from serve_app.voices.names import id_of
from tests.serve_app.conftest import alone

SPEECH = "/v1/audio/speech"


def body(**fields) -> dict:
    return {"model": "tts-1", "input": "Hello there.", "response_format": "pcm", "seed": 5} | fields


def inline(recording: bytes) -> dict[str, str]:
    return {"reference_audio": base64.b64encode(recording).decode()}


async def spoken(client: httpx.AsyncClient, **fields) -> bytes:
    answer = await client.post(SPEECH, json=body(**fields))
    assert answer.status_code == 200, answer.text
    return answer.content


async def upload(client: httpx.AsyncClient, name: str, recording: bytes) -> httpx.Response:
    return await client.post(
        "/v1/audio/voices", data={"name": name}, files={"audio_sample": ("a.wav", recording)}
    )


async def prompts_held(client: httpx.AsyncClient) -> int:
    return (await client.get("/v1/status")).json()["ingress"]["prompts"]["entries"]


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come to that")


async def test_prompts_of_voices_are_stored_and_those_of_requests_are_not(client, backend, make_wav):
    mine = (await upload(client, "mine", make_wav())).json()["id"]
    await spoken(client, voice="mine")
    await spoken(client, **inline(make_wav()))
    await spoken(client, voice="ada")
    assert backend.kept == [mine, None, "ada"]


async def test_prompts_of_requests_are_stored_by_option(backend, shipped, tmp_path, make_wav):
    settings = Settings.from_args(
        {"data_dir": str(tmp_path / "data"), "voice_encoder": {"keep_request_references": True}}, {}
    )
    app = create_app(Service(settings, alone(backend, settings), shipped))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        await spoken(client, **inline(make_wav()))
    assert backend.kept == [REQUESTS]


def prompt_files(service: Service, *owners: str) -> list[Path]:
    """Creates prompt files as two encoders store them."""
    paths = [
        service.settings.data / "prompts" / encoder / f"{owner}.{'0' * 64}.safetensors"
        for encoder in ("one", "two")
        for owner in owners
    ]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return paths


async def test_a_deleted_voice_leaves_no_files(client, service, backend, make_wav):
    before = await prompts_held(client)
    mine = (await upload(client, "mine", make_wav())).json()["id"]
    await spoken(client, voice="mine")
    prompt_files(service, mine)
    other = prompt_files(service, "ada", "voice_00000000000000000000")
    assert await prompts_held(client) == before + 1
    assert (await client.delete("/v1/audio/voices/mine")).json()["id"] == mine
    assert await prompts_held(client) == before
    assert backend.forgotten == [mine]
    left = [path for path in service.settings.data.rglob("*") if path.is_file()]
    assert sorted(left) == sorted(other)


@pytest.mark.parametrize("client_stays", [True, False])
async def test_a_voice_deleted_during_its_encoding_leaves_no_files(
    client, service, backend, make_wav, client_stays
):
    mine = (await upload(client, "mine", make_wav())).json()["id"]
    service.clear_prompts()
    backend.encoding = asyncio.Event()
    speaking = asyncio.create_task(client.post(SPEECH, json=body(voice="mine")))
    await until(lambda: backend.encoded == 2)
    assert (await client.delete("/v1/audio/voices/mine")).status_code == 200
    if not client_stays:
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
    backend.encoding.set()
    if client_stays:
        assert (await speaking).status_code == 200, "speech in progress may finish"
    await until(lambda: backend.forgotten == [mine, mine])
    assert await prompts_held(client) == 0
    assert not service._finishing


async def test_a_second_upload_under_the_same_name_leaves_no_files(client, service, backend, make_wav):
    backend.encoding = asyncio.Event()
    uploads = [asyncio.create_task(upload(client, "mine", make_wav(pitch=pitch))) for pitch in (220, 330)]
    await until(lambda: backend.encoded == 2)
    backend.encoding.set()
    answers = await asyncio.gather(*uploads)
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    (refused,) = [answer.json()["error"]["code"] for answer in answers if answer.status_code == 400]
    assert refused == "voice_exists"
    assert await prompts_held(client) == 0 and len(backend.forgotten) == 1
    pitch = 220 if answers[0].status_code == 200 else 330
    assert await spoken(client, voice="mine") == await spoken(client, **inline(make_wav(pitch=pitch)))


async def test_a_new_recording_under_the_same_name_is_used_at_once(client, make_wav):
    heard = []
    for pitch in (220, 330, 440):
        assert (await upload(client, "mine", make_wav(pitch=pitch))).status_code == 200
        heard.append(await spoken(client, voice="mine"))
        assert heard[-1] == await spoken(client, **inline(make_wav(pitch=pitch)))
        assert (await client.delete("/v1/audio/voices/mine")).status_code == 200
    assert len(set(heard)) == 3


async def test_a_damaged_voice_is_not_listed_and_can_be_deleted(client, service, make_wav):
    broken = (await upload(client, "broken", make_wav())).json()["id"]
    assert (await upload(client, "sound", make_wav(pitch=330))).status_code == 200
    (service.voices.uploads / broken / "meta.json").write_bytes(b"{}")
    prompt_files(service, broken)
    listed = (await client.get("/v1/audio/voices")).json()["data"]
    assert [voice["name"] for voice in listed] == ["ada", "bob", "sound"]
    assert (await client.get(f"/v1/audio/voices/{broken}")).status_code == 404
    refused = (await client.post(SPEECH, json=body(voice="broken"))).json()["error"]
    assert (refused["param"], refused["code"]) == ("voice", "voice_not_found")
    await spoken(client, voice="sound")
    taken = await upload(client, "broken", make_wav())
    assert taken.status_code == 400 and broken in taken.json()["error"]["message"]
    assert (await client.delete(f"/v1/audio/voices/{broken}")).status_code == 200
    assert not [path for path in service.settings.data.rglob("*") if broken in str(path)]
    assert (await upload(client, "broken", make_wav())).status_code == 200


@pytest.mark.parametrize(
    "change", [str, str.upper, lambda name: f" {name}  ", lambda name: name[:9] + " " + name[9:]]
)
async def test_a_name_that_looks_like_an_id_is_refused(client, make_wav, change):
    refused = await upload(client, change(id_of("mine")), make_wav(pitch=330))
    error = refused.json()["error"]
    assert (refused.status_code, error["param"], error["code"]) == (400, "name", "voice_name_reserved")
    assert "is reserved for ids" in error["message"]


def test_a_data_folder_with_other_files_keeps_its_mode(backend, shipped, tmp_path, caplog):
    data = tmp_path / "data"
    (data / "voices").mkdir(parents=True)
    (data / "mail").mkdir()
    for path in (data, *data.iterdir()):
        path.chmod(0o755)
    Service(Settings.from_args({"data_dir": str(data)}, {}), alone(backend), shipped)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (data, *data.iterdir())}
    assert modes == {"data": 0o755, "voices": 0o700, "mail": 0o755}
    assert "mail" in caplog.text


@pytest.mark.parametrize("kept", [False, True])
def test_startup_tightens_modes_and_removes_leftovers(backend, shipped, tmp_path, make_wav, kept):
    settings = Settings.from_args(
        {"data_dir": str(tmp_path / "data"), "voice_encoder": {"keep_request_references": kept}}, {}
    )
    first = Service(settings, alone(backend, settings), shipped)
    voice = first.voices.add("mine", make_wav())
    owners = ("ada", voice.id, "voice_00000000000000000000", REQUESTS, "gone")
    prompt_files(first, *owners, "new")
    old = time.time() - 600
    for path in (settings.data / "prompts").rglob("*.safetensors"):
        if not path.name.startswith("new."):
            os.utime(path, (old, old))
    (first.voices.uploads / ".gone-1").mkdir()
    for path in (settings.data, *settings.data.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    second = Service(settings, alone(backend, settings), shipped)
    assert second.voices.get("mine").id == voice.id
    left = {path.name.split(".")[0] for path in (settings.data / "prompts").rglob("*.safetensors")}
    assert left == {"ada", voice.id, "new"} | ({REQUESTS} if kept else set())
    assert [path.name for path in first.voices.uploads.iterdir()] == [voice.id]
    for path in (settings.data, *settings.data.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
