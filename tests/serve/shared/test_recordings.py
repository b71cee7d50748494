"""Recordings on the real graph: long ones at any rate, the same voice both ways, and hostile files."""

from __future__ import annotations

import asyncio
import base64
import io
import time
from collections.abc import Callable
from functools import cache
from itertools import count

import grpc
import httpx
import numpy as np
import psutil
import pytest
import soundfile
import soxr

from deployments import families
from deployments.contract.errors import SynthesisFailed
from serve_app.backends.graph import RayBackend
from serve_app.service import SHIPPED_VOICES
from tests.bombs import BOMBS
from tests.serve.conftest import Service

NAMES = (f"Voice {number}" for number in count())
MIB = 2**20
PATIENCE_S = 5.0  # beyond the wait without bombs; the service once stood still for 10 s and more
TEXT = "The boat left at noon."


@cache
def minute(rate: int, channels: int, seconds: int = 60) -> bytes:
    """FLAC. The second channel is quieter, as for a speaker who sits to one side."""
    voice, own = soundfile.read(SHIPPED_VOICES / "ross.flac", dtype="float32")
    sound = soxr.resample(np.tile(voice, 1 + seconds * own // len(voice))[: seconds * own], own, rate)
    file = io.BytesIO()
    soundfile.write(file, np.stack([sound, 0.5 * sound][:channels], axis=1), rate, "PCM_16", format="FLAC")
    return file.getvalue()


def body(**fields: object) -> dict[str, object]:
    return {"model": "tts-1", "input": TEXT, "response_format": "wav", "seed": 5, **fields}


async def upload(client: httpx.AsyncClient, data: bytes, name: str = "") -> httpx.Response:
    sent = {"audio_sample": ("recording", data)}
    return await client.post("/v1/audio/voices", data={"name": name or next(NAMES)}, files=sent)


async def speak_as(client: httpx.AsyncClient, data: bytes) -> httpx.Response:
    return await client.post("/v1/audio/speech", json=body(reference_audio=base64.b64encode(data).decode()))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000, 96_000, 192_000])
async def test_a_minute_at_any_rate_works_both_ways(service: Service, rate: int, channels: int) -> None:
    data, name = minute(rate, channels), next(NAMES)
    async with httpx.AsyncClient(base_url=service.http, timeout=60) as client:
        await client.get("/ready")
        began = time.monotonic()
        uploaded = await upload(client, data, name)
        upload_s, began = time.monotonic() - began, time.monotonic()
        inline = await speak_as(client, data)
        inline_s = time.monotonic() - began
        named = await client.post("/v1/audio/speech", json=body(voice=name))
    print(f"{rate} Hz, {channels}: uploaded in {upload_s:.2f} s, spoken with in {inline_s:.2f} s")
    assert (uploaded.status_code, inline.status_code, named.status_code) == (200, 200, 200), uploaded.text
    assert uploaded.json()["warnings"] == []
    assert "x-warnings" not in inline.headers
    assert inline.content == named.content


@pytest.mark.timeout(300)
async def test_a_longer_recording_is_cut_with_a_warning(service: Service) -> None:
    async with httpx.AsyncClient(base_url=service.http, timeout=60) as client:
        uploaded = await upload(client, minute(44_100, 1, seconds=75))
        assert uploaded.status_code == 200
        assert [warning.partition(":")[0] for warning in uploaded.json()["warnings"]] == ["cut"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "kind", [("WAV", "FLOAT"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]
)
async def test_an_upload_and_a_reference_sound_the_same(service: Service, kind: tuple[str, str]) -> None:
    voice, own = soundfile.read(SHIPPED_VOICES / "clara.flac", dtype="float32")
    sound, file, name = soxr.resample(voice, own, 22_050), io.BytesIO(), next(NAMES)
    soundfile.write(file, np.stack([sound, np.roll(sound, 7)], axis=1), 22_050, kind[1], format=kind[0])
    async with httpx.AsyncClient(base_url=service.http, timeout=60) as client:
        inline = await speak_as(client, file.getvalue())
        assert (await upload(client, file.getvalue(), name)).status_code == 200
        named = await client.post("/v1/audio/speech", json=body(voice=name))
        await client.post("/v1/cache/free")  # so it comes from the disk
        again = await client.post("/v1/audio/speech", json=body(voice=name))
    assert inline.status_code == 200
    assert inline.content == named.content == again.content


async def worst_wait(client: httpx.AsyncClient, until: Callable[[], bool]) -> tuple[float, float]:
    """The longest of many times to the first byte, in seconds, for a voice's card and for short speech."""
    card = speech = 0.0
    while not until():
        began = time.monotonic()
        assert (await client.get("/v1/audio/voices/clara")).status_code == 200
        card = max(card, time.monotonic() - began)
        began = time.monotonic()
        async with client.stream(
            "POST", "/v1/audio/speech", json=body(voice="clara", response_format="pcm")
        ) as answer:
            assert answer.status_code == 200
            async for _ in answer.aiter_bytes():
                speech = max(speech, time.monotonic() - began)
                break
    return card, speech


async def throw(
    client: httpx.AsyncClient, made: dict[str, bytes]
) -> tuple[list[tuple[str, httpx.Response]], tuple[float, float]]:
    """Sends every bomb both ways, six at once. Returns the responses, and the waits of other requests."""
    queue = [(name, send) for name in made for send in (upload, speak_as)]
    answers: list[tuple[str, httpx.Response]] = []

    async def one_after_the_other() -> None:
        while queue:
            name, send = queue.pop()
            answers.append((name, await send(client, made[name])))

    six = [asyncio.create_task(one_after_the_other()) for _ in range(6)]
    busy = await worst_wait(client, lambda: all(task.done() for task in six))
    await asyncio.gather(*six)
    assert len(answers) == 2 * len(made)
    return answers, busy


@pytest.mark.timeout(900)
async def test_bombs_are_refused_and_affect_no_other_request(service: Service) -> None:
    made = {name: make() for name, make in BOMBS.items()}
    async with httpx.AsyncClient(base_url=service.http, timeout=120) as client:
        assert (await upload(client, minute(16_000, 1))).status_code == 200  # warms up
        ingress = psutil.Process((await client.get("/v1/status")).json()["ingress"]["pid"])
        before = most = ingress.memory_info().rss

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, ingress.memory_info().rss)
                await asyncio.sleep(0.02)

        watching = asyncio.create_task(watch())
        ended = time.monotonic() + 4
        quiet = await worst_wait(client, lambda: time.monotonic() > ended)
        answers, busy = await throw(client, made)
        watching.cancel()
        for name, answer in answers:
            error = answer.json()["error"]
            refused = answer.status_code, error["type"]
            assert refused == (400, "invalid_request_error"), (name, answer.text)
            assert error["param"] in ("audio_sample", "reference_audio"), (name, answer.text)
            assert error["param"] in error["message"]
        await client.post("/v1/cache/free")
        after = ingress.memory_info().rss
        fine = await upload(client, minute(16_000, 1))
    print(f"first bytes: alone {quiet}, among six bombs {busy} s", end="; ")
    print(f"ingress {before / MIB:.0f} MiB, at most {most / MIB:.0f}, after {after / MIB:.0f}")
    assert fine.status_code == 200
    assert all(during < alone + PATIENCE_S for during, alone in zip(busy, quiet, strict=True))
    assert most - before < 300 * MIB
    assert after - before < max(0.1 * before, 50 * MIB)


@pytest.mark.timeout(300)
async def test_a_killed_encoder_fails_no_request(service: Service) -> None:
    async with httpx.AsyncClient(base_url=service.http, timeout=120) as client:
        encoder = (await service.stage(client, "voice_encoder"))["pid"]
        tasks = [asyncio.create_task(upload(client, minute(48_000, 2, seconds=n))) for n in range(40, 46)]
        await asyncio.sleep(0.3)
        psutil.Process(encoder).kill()
        answers = await asyncio.gather(*tasks)
    assert [answer.status_code for answer in answers] == [200] * len(answers)


@pytest.mark.timeout(120)
async def test_a_rejected_message_is_not_retried(service: Service) -> None:
    from ray import serve

    stages = ("TextFrontend", "VoiceEncoder", "GptScheduler", "VocoderScheduler")
    backend = RayBackend(
        families.load("small").spec, *(serve.get_deployment_handle(stage, "chorale") for stage in stages)
    )
    await backend.segments("Hello.", None)
    began = time.monotonic()
    with pytest.raises(SynthesisFailed, match=r"text_frontend .*refused.*resource_exhausted"):
        await backend.segments("a" * 65 * MIB, None)  # over the limit of a message: see `runtime.node`
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_only_a_lost_stage_is_retried(code: grpc.StatusCode) -> None:
    from serve_app.backends.graph import is_lost

    again = {"UNAVAILABLE", "CANCELLED", "ABORTED", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN"}
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())
    assert is_lost(error) == (code.name in again)
