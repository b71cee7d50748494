"""The guard of Serve's proxy on a real port, in front of an application that records what reaches it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn

from serve_app.http import proxy_protocol
from serve_app.http.proxy_guard import Guard, Limits
from serve_app.http.proxy_protocol import GuardedProtocol

LIMITS = Limits(
    max_body=1_000_000,
    max_text=100_000,
    small=1000,
    buffered=1_500_000,
    silence_s=0.5,
    body_s=1.0,
    least_rate=100_000,
)


class Behind:
    """Stands for Serve's proxy and the ingress. lost: the number of tries that find the replica dead."""

    def __init__(self) -> None:
        self.scopes: list[dict] = []
        self.bodies: list[bytes] = []
        self.lost = 0
        self.answer: tuple[int, bytes, bytes] = (200, b"application/json", b"{}")
        self.break_off = False

    async def __call__(self, scope, receive, send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            body, more = body + message["body"], message["more_body"]
        self.scopes.append(scope)
        self.bodies.append(body)
        if len(self.scopes) <= self.lost:
            return  # like Serve
        status, kind, content = self.answer
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        if self.break_off:
            return
        await send({"type": "http.response.body", "body": content})


@pytest.fixture
def behind() -> Behind:
    return Behind()


@asynccontextmanager
async def serving(app) -> AsyncIterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=GuardedProtocol, ws="none", lifespan="off", log_level="critical", timeout_keep_alive=1
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = server.force_exit = True
    await task
    listener.close()


@pytest.fixture
async def guard(behind) -> Guard:
    return Guard(behind, LIMITS)


@pytest.fixture
async def url(guard, monkeypatch) -> AsyncIterator[str]:
    monkeypatch.setattr(proxy_protocol, "UNREAD_S", 0.5)
    monkeypatch.setattr(proxy_protocol, "LINGER_S", 0.5)
    async with serving(guard) as url:
        yield url


async def raw(url: str, *parts: bytes, pause: float = 0.0, most: float = 5.0) -> bytes:
    """The server's whole response to raw bytes; b"" if it closes without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))

    async def write() -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    task = asyncio.create_task(write())
    try:
        async with asyncio.timeout(most):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        writer.close()


def error_of(answer: bytes) -> tuple[int, dict]:
    head, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return int(head.split()[1]), error


POST = b"POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\n"


async def test_a_request_is_passed_on_complete_and_in_one_message(url, behind):
    async def pieces():
        for _ in range(50):
            yield b"0123456789" * 1000

    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.post("/v1/audio/voices", content=pieces())).status_code == 200
        assert (await client.get("/health")).status_code == 200
    assert behind.bodies == [b"0123456789" * 50_000, b""]


@pytest.mark.parametrize(
    "sent", [b"", b"12345", b"1" * 99], ids=["nothing", "a beginning", "all but one byte"]
)
async def test_a_missing_body_does_not_occupy_the_ingress(url, behind, guard, sent):
    status, error = error_of(await raw(url, POST + b"content-length: 100\r\n\r\n" + sent))
    assert (status, error["code"]) == (408, "request_timeout")
    assert not behind.scopes
    assert guard.buffered == 0


async def test_a_slow_body_has_a_deadline(url, behind):
    chunks = [b"1\r\na\r\n"] * 100
    began = time.monotonic()
    answer = await raw(url, POST + b"transfer-encoding: chunked\r\n\r\n", *chunks, pause=0.1)
    assert error_of(answer)[0] == 408
    assert 0.5 < time.monotonic() - began < 4
    assert not behind.scopes


async def test_a_slow_but_steady_body_is_accepted(url, behind):
    async def slowly():
        for _ in range(20):
            yield b"x" * 20_000  # twice the least rate, for twice the time of a body
            await asyncio.sleep(0.1)

    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.post("/v1/audio/voices", content=slowly())).status_code == 200
    assert len(behind.bodies[0]) == 400_000


async def test_bodies_have_a_common_limit_and_short_ones_pass(url, behind, guard):
    head = b"POST /v1/audio/voices HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n"
    async with httpx.AsyncClient(base_url=url) as client:
        held = asyncio.create_task(raw(url, head + b"x" * 899_000))
        while guard.buffered < 890_000:
            await asyncio.sleep(0.01)
        refused = await client.post("/v1/audio/voices", content=b"x" * 900_000)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert (await client.post("/v1/audio/speech", content=b"x" * 1000)).status_code == 200
        await held
        assert guard.buffered == 0
        assert (await client.post("/v1/audio/voices", content=b"x" * 900_000)).status_code == 200
    assert guard.buffered == 0


async def test_a_body_beyond_the_limit(url, behind):
    async def endless():
        while True:
            yield b"x" * 100_000

    async with httpx.AsyncClient(base_url=url) as client:
        announced = await client.post("/v1/audio/speech", content=b"x" * 1_000_001)
        assert announced.status_code == 413
        assert announced.json()["error"]["code"] == "request_too_large"
        assert announced.headers["x-request-id"]
    answer = await raw(
        url,
        POST + b"transfer-encoding: chunked\r\n\r\n",
        *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 40,
        most=20,
    )
    assert answer.split()[1] == b"413"
    assert not behind.scopes


async def test_a_refusal_is_counted(behind):
    records = []

    class Records:
        def record(self, instrument, value, **labels):
            records.append((instrument.name, value, labels))

    async with serving(Guard(behind, LIMITS, recorder=Records())) as url, httpx.AsyncClient() as client:
        await client.get(url)
        assert records == []  # the ingress counts it
        await client.post(url, content=b"x" * (LIMITS.max_body + 1))
    labels = {"endpoint": "proxy", "status": "413"}
    code = {"code": "request_too_large"}
    assert records == [("chorale_requests", 1, labels), ("chorale_errors", 1, labels | code)]


async def test_a_long_speech_request_without_a_recording_is_refused_in_the_proxy(url, behind):
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/v1/audio/speech", content=b'{"k": 1}' + b" " * 100_000)
        assert (answer.status_code, answer.json()["error"]["param"]) == (413, "input")
        assert not behind.scopes
        recorded = b'{"reference_audio": "' + b"A" * 100_000 + b'"}'
        assert (await client.post("/v1/audio/speech", content=recorded)).status_code == 200
        assert (await client.post("/v1/audio/voices", content=b" " * 200_000)).status_code == 200


async def test_an_answered_request_whose_body_never_ends_is_cut_off(url):
    began = time.monotonic()
    answer = await raw(url, POST + b"content-length: 2000000\r\n\r\n", *[b"x"] * 1000, pause=0.05)
    assert answer.split()[1] == b"413"
    assert time.monotonic() - began < 4


HEADS = {
    "one endless value": b"x-a: " + b"a" * 20_000_000,
    "one endless name": b"a" * 20_000_000,
    "a million headers": b"x-a: b\r\n" * 1_000_000,
    "a hundred and one": b"x-a: b\r\n" * 101 + b"\r\n",
    "an endless value that ends": b"x-a: " + b"a" * 70_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", HEADS)
async def test_headers_are_bounded(url, behind, name):
    status, error = error_of(await raw(url, POST + HEADS[name]))
    assert (status, error["code"]) == (431, "headers_too_large")
    assert not behind.scopes


async def test_an_endless_url(url, behind):
    answer = await raw(url, b"GET /" + b"a" * 5_000_000)
    assert error_of(answer)[0] == 431


async def test_large_headers_within_the_limit_pass(url, behind):
    lines = b"".join(b"x-%d: %b\r\n" % (n, b"a" * 600) for n in range(90))
    answer = await raw(url, POST + lines + b"content-length: 3\r\nconnection: close\r\n\r\nabc")
    assert answer.split()[1] == b"200"
    assert behind.bodies == [b"abc"]
    assert len(behind.scopes[0]["headers"]) >= 90


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET", POST, POST + b"x-a: b"])
async def test_headers_that_do_not_end_are_refused(url, behind, monkeypatch, sent):
    monkeypatch.setattr(proxy_protocol, "HEAD_S", 0.5)
    answer = await raw(url, sent)
    assert not answer if not sent else error_of(answer)[0] == 408
    answer = await raw(url, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", sent or b"G", pause=0.3)
    assert answer.split()[1] == b"200", "and of a later request on the same connection"


async def test_trailers_and_framing_are_bounded(url, behind):
    chunked = POST + b"transfer-encoding: chunked\r\n\r\n"
    for rest in (
        b"1\r\na\r\n" * 200_000,
        b"1;" + b"x" * 500_000 + b"\r\na\r\n",
        b"1\r\na\r\n0\r\nx-a: " + b"a" * 500_000,
        b"1\r\na\r\n0\r\n" + b"x-a: b\r\n" * 10_000,
    ):
        answer = await raw(url, chunked + rest)
        assert int(answer.split()[1]) in (400, 431), rest[:20]
    assert not behind.scopes


async def test_the_oldest_connection_without_a_request_is_closed(url, behind, monkeypatch):
    monkeypatch.setattr(proxy_protocol, "MAX_CONNECTIONS", 20)
    silent = [await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2])) for _ in range(40)]
    async with httpx.AsyncClient(base_url=url) as client:
        for _ in range(3):
            assert (await client.get("/health")).status_code == 200
    await asyncio.sleep(0.1)
    gone = [reader.at_eof() or reader.exception() is not None for reader, _ in silent]
    assert sum(gone) >= 20 and not any(gone[-10:])
    for _, writer in silent:
        writer.close()


async def test_serves_control_headers_are_dropped(url, behind):
    async with httpx.AsyncClient(base_url=url) as client:
        names = ["x-request-timeout-seconds", "X-Request-Disconnect-Disabled", "serve_multiplexed_model_id"]
        names += ["serve-multiplexed-model-id", "x-session-id", "X_Session_Id"]
        for name in names:
            await client.get("/health", headers={name: "0", "x-kept": "yes"})
    for scope in behind.scopes:
        headers = dict(scope["headers"])
        assert headers[b"x-kept"] == b"yes"
        assert {name.replace(b"-", b"_") for name in headers} & {
            name.lower().replace("-", "_").encode() for name in names
        } == set()


@pytest.mark.parametrize(
    "name", [b"x-request-id", b"x-session-id", b"cookie", b"traceparent", b"accept", b"x-forwarded-for"]
)
async def test_non_ascii_bytes_are_accepted(url, behind, name):
    answer = await raw(
        url, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + name + b": a\xff\xc3\xa9b\r\n\r\n"
    )
    assert answer.split()[1] == b"200"
    for header, value in behind.scopes[0]["headers"]:
        header.decode(), value.decode()


async def test_one_sane_request_id_reaches_the_application(url, behind):
    for sent in (
        [("x-request-id", "abc-1")],
        [],
        [("x-request-id", "a b")],
        [("x-request-id", "a" * 5000)],
        [("x-request-id", "x"), ("x-request-id", "y")],
    ):
        async with httpx.AsyncClient(base_url=url) as client:
            await client.get("/health", headers=sent)
    ids = [[value for name, value in scope["headers"] if name == b"x-request-id"] for scope in behind.scopes]
    assert all(len(values) == 1 and 0 < len(values[0]) <= 128 for values in ids)
    assert ids[0] == [b"abc-1"] and ids[4] == [b"x"]


async def test_a_request_is_retried_when_its_replica_dies(url, behind):
    behind.lost = 2
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/v1/audio/speech", content=b"the same")
    assert answer.status_code == 200
    assert behind.bodies == [b"the same"] * 3


@pytest.mark.parametrize(
    ("method", "path", "tries"),
    [
        ("POST", "/v1/audio/speech", 4),
        ("GET", "/v1/models", 4),
        ("POST", "/v1/audio/voices", 1),
        ("DELETE", "/v1/audio/voices/x", 1),
    ],
)
async def test_a_lost_request_gets_an_openai_error(url, behind, method, path, tries):
    behind.lost = 100
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        answer = await client.request(method, path, content=b"x")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"]["code"] == "unavailable"
    assert len(behind.scopes) == tries


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "unknown_url"),
        (408, "request_timeout"),
        (429, "overloaded"),
        (500, "internal_error"),
        (503, "unavailable"),
    ],
)
async def test_proxy_errors_are_converted(url, behind, status, code):
    behind.answer = (status, b"text/plain; charset=utf-8", b"/a/path/of/this/machine.py")
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/v1/models")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "machine" not in answer.text
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    assert len(behind.scopes) == 1, "a started response is never retried"


async def test_ingress_errors_pass_unchanged(url, behind):
    for status in (400, 404, 500, 503):
        behind.answer = (status, b"application/json", b'{"error": {"message": "mine"}}')
        async with httpx.AsyncClient(base_url=url) as client:
            answer = await client.get("/v1/models")
        assert (answer.status_code, answer.json()) == (status, {"error": {"message": "mine"}})


async def test_a_started_response_breaks_visibly(url, behind):
    behind.break_off = True
    async with httpx.AsyncClient(base_url=url) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/v1/audio/speech", content=b"x")
    assert len(behind.scopes) == 1


def reading(address: str, bytes_per_s: float, until: threading.Event) -> None:
    """Sends a request and reads the response at this rate, until the connection breaks."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not until.wait(1 / bytes_per_s if bytes_per_s else None) and client.recv(1):
                pass


@pytest.mark.parametrize("bytes_per_s", [0, 100])
async def test_a_client_that_reads_almost_nothing_is_disconnected(monkeypatch, bytes_per_s):
    monkeypatch.setattr(proxy_protocol, "STALL_S", 0.5)
    left = asyncio.Event()

    async def endless(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})

        async def talk():
            while True:
                await send({"type": "http.response.body", "body": b"x" * 2**18, "more_body": True})
                await asyncio.sleep(0)

        talking = asyncio.create_task(talk())
        assert (await receive())["type"] == "http.disconnect"
        talking.cancel()
        left.set()

    async with serving(Guard(endless, LIMITS)) as url:
        over = threading.Event()
        client = asyncio.create_task(asyncio.to_thread(reading, url, bytes_per_s, over))
        try:
            async with asyncio.timeout(10):
                await left.wait()
        finally:
            over.set()
        await client


async def test_a_proxy_failure_shows_no_traceback():
    async def broken(scope, receive, send):
        raise ValueError("/a/path")

    async with serving(Guard(broken, LIMITS)) as url, httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/health")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "path" not in answer.text


MALFORMED = {
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 200,
    "no version": b"GET /\r\n\r\n",
    "a wrong version": b"GET / HTTP/9.9\r\n\r\n",
    "a space in a name": b"GET / HTTP/1.1\r\nx y: z\r\n\r\n",
    "two lengths": POST + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "a length and chunks": POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": POST + b"content-length: -1\r\n\r\n",
    "a length in words": POST + b"content-length: ten\r\n\r\n",
    "an endless length": POST + b"content-length: " + b"9" * 400 + b"\r\n\r\n",
    "chunks of no length": POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    "an unknown encoding": POST + b"transfer-encoding: banana\r\n\r\nabc",
    "a folded header": b"GET / HTTP/1.1\r\nhost: x\r\nx-a: b\r\n c\r\n\r\n",
    "a tunnel": b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "a byte above ASCII in the address": b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "an upgrade": b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n",
    "an upgrade with a body": POST + b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
    b"http2-settings: AAMAAABkAARAAAAA\r\ncontent-length: 3\r\n\r\nabc",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_requests_are_answered_or_closed(url, name):
    answer = await raw(url, MALFORMED[name])
    if answer:
        status = int(answer.split()[1])
        assert status < 500
        assert status == 200 or error_of(answer)
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/health")).status_code == 200


async def test_pipelined_requests_are_answered_in_order_and_limited(url, behind):
    one = b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = await raw(
        url, b"".join(one % n for n in range(5)) + b"GET /5 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 200") == 6
    assert [scope["path"] for scope in behind.scopes] == [f"/{n}" for n in range(6)]
    behind.scopes.clear()
    await raw(url, (one % 1) * 5000)
    assert len(behind.scopes) < 100
