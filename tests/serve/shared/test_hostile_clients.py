"""Hostile clients and killed HTTP processes on the real graph. An innocent client is served throughout."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import soundfile

from tests.serve.conftest import Cluster, Say, Service
from tests.serve.shared.test_service import SENTENCES, sayings

PATIENCE_S = 8.0  # for any response to the innocent client; a silent client is given up after 10 s
MIB = 2**20
POST = b"POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@dataclass
class Innocent:
    """A client that repeats several kinds of requests. waits: the longest of each kind, in seconds."""

    http: str
    waits: dict[str, float] = field(default_factory=dict)
    answers: int = 0

    async def ask(self, client: httpx.AsyncClient) -> None:
        short = {
            "model": "tts-1",
            "voice": "clara",
            "input": "Hi.",
            "max_tokens": 8,
            "response_format": "pcm",
        }
        for method, path, body in (
            ("GET", "/health", None),
            ("GET", "/v1/models", None),
            ("POST", "/v1/audio/speech", short),
        ):
            began = time.monotonic()
            answer = await client.request(method, self.http + path, json=body)
            took = time.monotonic() - began
            assert answer.status_code == 200, answer.text
            self.waits[path] = max(self.waits.get(path, 0.0), took)
            self.answers += 1

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Sends requests until the block ends, and then checks the waits."""
        over = False

        async def ask_on() -> None:
            async with httpx.AsyncClient(timeout=60) as client:
                while not over:
                    await self.ask(client)
                    await asyncio.sleep(0.05)

        asking = asyncio.create_task(ask_on())
        try:
            yield
            await asyncio.sleep(1)
        finally:
            over = True
            await asking
        print("the innocent waited at most", {path: round(wait, 2) for path, wait in self.waits.items()})
        assert self.answers >= 6
        assert max(self.waits.values()) < PATIENCE_S


@dataclass(frozen=True)
class Processes:
    proxy: psutil.Process
    ingress: psutil.Process

    def rss(self) -> dict[str, int]:
        return {name: getattr(self, name).memory_info().rss // MIB for name in ("proxy", "ingress")}


async def processes(service: Service) -> Processes:
    async with httpx.AsyncClient(timeout=60) as client:
        await Innocent(service.http).ask(client)
        ingress = (await client.get(f"{service.http}/v1/status")).json()["ingress"]["pid"]
    return Processes(proxy_process(int(service.http.rpartition(":")[2])), psutil.Process(ingress))


def proxy_process(port: int) -> psutil.Process:
    """The process that listens at `port`, because other tests may run their own Ray."""
    (proxy,) = {
        process
        for process in psutil.Process().children(recursive=True)
        if process.is_running()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }
    return proxy


async def send(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Writes as much as possible, and returns the response up to the close; b"" if the connection was reset."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return b""

    async def write() -> None:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                if pause:
                    await asyncio.sleep(pause)

    writing = asyncio.create_task(write())
    try:
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        writer.close()


def keys(count: int) -> bytes:
    """A body of `count` unknown fields."""
    fields = b",".join(b'"k%d":1' % n for n in range(count))
    body = b'{"model":"tts-1","voice":"clara","input":"Hi.",' + fields + b"}"
    return POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body


HEADERS = b"x-a: b\r\n" * 100_000
DRIP = POST + b"transfer-encoding: chunked\r\n\r\n"
CHUNK = b"1\r\n \r\n"
ATTACKS: dict[str, tuple[int, Callable[[int], Coroutine[None, None, bytes]], set[int]]] = {
    "a body is announced and does not come": (
        260,
        lambda to: send(to, POST + b"content-length: 100\r\n\r\n"),
        {408},
    ),
    "nothing is said": (1000, lambda to: send(to), set()),
    "a header that never ends": (
        10,
        lambda to: send(to, POST + b"x-a: ", *[b"a" * 4096] * 500, pause=0.01),
        {431},
    ),
    "a header of 1 MB": (20, lambda to: send(to, POST + b"x-a: ", b"a" * MIB), {431}),
    "a header of 50 MB": (3, lambda to: send(to, POST + b"x-a: ", *[b"a" * MIB] * 50), {431}),
    "a million headers": (3, lambda to: send(to, POST, *[HEADERS] * 10), {431}),
    "four million headers": (1, lambda to: send(to, POST, *[HEADERS] * 40), {431}),
    "a million keys": (5, lambda to: send(to, keys(1_200_000)), {413}),
    "as many keys as are let in": (40, lambda to: send(to, keys(20_000)), {400}),
    "chunks of one byte that drip": (20, lambda to: send(to, DRIP, *[CHUNK] * 400, pause=0.1), {408}),
    "two million chunks of one byte": (3, lambda to: send(to, DRIP, *[CHUNK * 20_000] * 100), {400}),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ATTACKS)
async def test_an_innocent_client_is_served_throughout(service: Service, cluster: Cluster, name: str) -> None:
    times, attack, statuses = ATTACKS[name]
    watched = await processes(service)
    async with httpx.AsyncClient(timeout=60) as client:
        await client.post(f"{service.http}/v1/cache/free")
        before = watched.rss()
        async with Innocent(service.http).at_work():
            answers = await asyncio.gather(*(attack(cluster.port) for _ in range(times)))
        await client.post(f"{service.http}/v1/cache/free")
    after = watched.rss()
    answered = [answer for answer in answers if answer]
    print(f"{len(answered)} of {len(answers)} were answered; MiB before {before}, after {after}")
    assert {int(answer.split()[1]) for answer in answered} <= statuses
    if statuses:
        assert answered
    for process, held in after.items():
        assert held - before[process] < max(50, before[process] / 10), process


async def whole(client: httpx.AsyncClient, service: Service, say: Say) -> np.ndarray:
    """A response that starts when it is complete."""
    params = {"voice_name": say.voice, "text": say.text, "seed": say.seed}
    answer = await client.get(f"{service.http}/tts_with_cached_voice", params=params)
    assert answer.status_code == 200, answer.text
    return soundfile.read(io.BytesIO(answer.content), dtype="float32")[0]


async def streamed(client: httpx.AsyncClient, service: Service, say: Say) -> tuple[bytes, bool]:
    """(the received bytes, whether the response broke off)."""
    heard = b""
    body = say.body() | {"response_format": "pcm"}
    try:
        async with client.stream("POST", f"{service.http}/v1/audio/speech", json=body) as answer:
            assert answer.status_code == 200, await answer.aread()
            async for piece in answer.aiter_bytes():
                heard += piece
    except httpx.RemoteProtocolError:
        assert heard, "a request failed before its response began"
        return heard, True
    return heard, False


@pytest.mark.timeout(600)
async def test_a_killed_ingress_breaks_only_started_responses(service: Service) -> None:
    what = sayings(service.voices, 8)
    long = [Say(" ".join(SENTENCES[n : n + 3]), service.voices[n], n) for n in range(4)]
    async with httpx.AsyncClient(timeout=300) as client:
        alone = {say: await whole(client, service, say) for say in what}
        alone_streamed = {say: await streamed(client, service, say) for say in long}
        killed = (await processes(service)).ingress
        streams = [asyncio.create_task(streamed(client, service, say)) for say in long]
        await asyncio.sleep(1.5)
        wholes = [asyncio.create_task(whole(client, service, say)) for say in what]
        await asyncio.sleep(0.3)
        began = time.monotonic()
        killed.send_signal(signal.SIGKILL)
        health = await client.get(f"{service.http}/health")
        print(f"the next /health was answered {time.monotonic() - began:.1f} s after the kill")
        assert health.status_code == 200
        for say, sound in zip(what, await asyncio.gather(*wholes), strict=True):
            np.testing.assert_array_equal(sound, alone[say], err_msg=str(say))
        broken = 0
        for say, (heard, broke) in zip(long, await asyncio.gather(*streams), strict=True):
            expected = alone_streamed[say][0]
            broken += broke
            assert heard == (expected[: len(heard)] if broke else expected)
        print(f"{broken} of {len(long)} streams broke off, visibly")
        assert (await processes(service)).ingress.pid != killed.pid


@pytest.mark.timeout(300)
async def test_two_ingresses_share_voices_and_survive_each_other(service: Service) -> None:
    from ray import serve

    from serve_app.app import build

    async def deploy(args: dict[str, Any]) -> None:
        await asyncio.to_thread(serve.run, build(args), name="chorale", route_prefix="/")

    try:
        await deploy({**service.args, "ingress": {**service.args.get("ingress", {}), "replicas": 2}})

        async def pids(client: httpx.AsyncClient) -> set[int]:
            answers = await asyncio.gather(*(client.get(f"{service.http}/v1/status") for _ in range(8)))
            return {answer.json()["ingress"]["pid"] for answer in answers}

        async with httpx.AsyncClient(timeout=120) as client:
            both = await pids(client) | await pids(client)
            assert len(both) == 2
            recording = (
                await client.post(
                    f"{service.http}/v1/audio/speech", json=sayings(service.voices, 1)[0].body()
                )
            ).content
            files = {"audio_sample": ("a.wav", recording)}
            added = await client.post(f"{service.http}/v1/audio/voices", data={"name": "shared"}, files=files)
            assert added.status_code == 200, added.text
            spoken = Say(SENTENCES[0], "shared", 1)
            heard = await asyncio.gather(*(whole(client, service, spoken) for _ in range(8)))
            assert all(np.array_equal(sound, heard[0]) for sound in heard)
            os.kill(min(both), signal.SIGKILL)
            began = time.monotonic()
            for _ in range(10):
                assert (await client.get(f"{service.http}/health")).status_code == 200
            print(f"ten answers in {time.monotonic() - began:.1f} s after one of two ingresses was killed")
            assert (await client.delete(f"{service.http}/v1/audio/voices/shared")).status_code == 200
            gone = await asyncio.gather(
                *(client.get(f"{service.http}/v1/audio/voices/shared") for _ in range(8))
            )
            assert {answer.status_code for answer in gone} == {404}
    finally:  # for the tests that share the service
        await deploy(service.args)


@pytest.mark.timeout(300)
async def test_a_killed_proxy_is_back_soon(service: Service) -> None:
    proxy = (await processes(service)).proxy
    os.kill(proxy.pid, signal.SIGKILL)
    began = time.monotonic()
    refused = 0
    async with httpx.AsyncClient(timeout=5) as client:
        while time.monotonic() < began + 60:
            try:
                if (await client.get(f"{service.http}/v1/models")).status_code == 200:
                    break
            except httpx.TransportError:
                refused += 1
            await asyncio.sleep(0.05)
    outage = time.monotonic() - began
    print(f"no answer for {outage:.1f} s after the proxy was killed ({refused} connections failed)")
    assert outage < 20
    await processes(service)
