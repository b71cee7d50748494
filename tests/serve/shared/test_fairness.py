"""Short sentences do not wait for long texts, read or unread."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.serve.conftest import Say, Service

LONG = " ".join(Path("tests/data/sentences.txt").read_text().splitlines() * 5)[:4990]
SOON_S = 10.0  # for the first sound of a short sentence; 0.3 s alone on two cores, 15 s after a long text


@asynccontextmanager
async def idle_readers(service: Service, count: int) -> AsyncIterator[None]:
    """Clients that request a long text and do not read the response."""
    _, _, address = service.http.rpartition("/")
    host, _, port = address.partition(":")
    writers = []
    for n in range(count):
        body = json.dumps(Say(LONG, service.voices[0], n).body()).encode()
        head = f"POST /v1/audio/speech HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n"
        _, writer = await asyncio.open_connection(host, int(port), limit=1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writers.append(writer)
    try:
        yield
    finally:
        for writer in writers:
            writer.transport.abort()


async def first_sound(service: Service, client: httpx.AsyncClient, seed: int) -> float:
    say = Say("The harbour is quiet now.", service.voices[1], seed)
    began = time.perf_counter()
    async with client.stream("POST", f"{service.http}/v1/audio/speech", json=say.body()) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for _ in answer.aiter_bytes():
            return time.perf_counter() - began
    raise AssertionError("no sound")


async def completed(service: Service, client: httpx.AsyncClient) -> int:
    await asyncio.sleep(2.1)  # the service caches the stages' status for two seconds
    return (await service.stage(client, "gpt"))["completed"]


@pytest.mark.timeout(300)
async def test_a_short_sentence_starts_soon_despite_unread_long_texts(service: Service) -> None:
    async with httpx.AsyncClient(timeout=120) as client, idle_readers(service, 8):
        while (await service.stage(client, "gpt"))["active"] < 8:
            await asyncio.sleep(0.5)
        waits = [await first_sound(service, client, seed) for seed in range(5)]
        print(f"\nfirst sound beside eight long texts: {', '.join(f'{wait:.2f}' for wait in waits)} s")
    assert max(waits) < SOON_S


@pytest.mark.timeout(300)
async def test_thirty_long_texts_do_not_keep_new_requests_out(service: Service) -> None:
    async with httpx.AsyncClient(timeout=120) as client, idle_readers(service, 30):
        while (await service.stage(client, "gpt"))["pending"] < 40:
            await asyncio.sleep(0.5)
        waits = [await first_sound(service, client, seed) for seed in range(3)]
        print(f"\nfirst sound beside thirty long texts: {', '.join(f'{wait:.2f}' for wait in waits)} s")


@pytest.mark.timeout(300)
async def test_synthesis_stops_for_clients_that_read_nothing(service: Service) -> None:
    async with httpx.AsyncClient(timeout=120) as client:
        before = await completed(service, client)
        async with idle_readers(service, 2):
            made = before
            while (now := await completed(service, client)) != made or now == before:
                made = now
            print(f"\n{made - before} segments were made for two texts of {len(LONG)} characters each")
            status = await service.stage(client, "gpt")
            assert (status["active"], status["pending"]) == (0, 0)
    assert made - before < 60, "a text of this length has some eighty segments"
