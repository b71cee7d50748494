"""The bytes that a client has received are reported, and synthesis is at most 30 s ahead of them."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from deployments.contract.errors import Overloaded
from serve_app.config.settings import Settings
from serve_app.http import delivery
from serve_app.http.app import create_app
from serve_app.http.delivery import DELIVERED, HEADER, Listener, ReportDelivery

RATE = 24_000
SENTENCE = "Many words are here, one after the other, and then it ends. "  # about 3.6 s of tones
BODY = {"model": "tts-1", "voice": "ada", "response_format": "pcm", "seed": 7}


@pytest.fixture(autouse=True)
def short_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PERIOD_S", 0.02)


class Client:
    """One request, and a reader that receives `room` bytes of the response and then waits for more room."""

    def __init__(self, app, body: dict[str, object], room: int = 2**40) -> None:
        self._app, self._room = app, room
        self._request = json.dumps(body).encode()
        self._asked = self.left = False
        self._more = asyncio.Event()
        self.data, self.status = b"", 0
        self.task = asyncio.create_task(self._run())

    def reads_on(self) -> None:
        self._room = 2**40
        self._more.set()

    async def _run(self) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self._request))]
        scope = {"type": "http", "asgi": {"spec_version": "2.3", "version": "3.0"}, "http_version": "1.1"}
        scope |= {"method": "POST", "path": "/v1/audio/speech", "raw_path": b"", "query_string": b""}
        scope |= {"scheme": "http", "headers": headers, "server": ("test", 80), "client": ("test", 1)}
        await self._app(scope, self._receive, self._send)

    async def _receive(self):
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._request, "more_body": False}
        while not self.left:
            await asyncio.sleep(0.005)
        return {"type": "http.disconnect"}

    async def _send(self, message) -> None:
        self.status = message.get("status", self.status)
        self.data += message.get("body", b"")
        while len(self.data) > self._room:
            self._more.clear()
            await self._more.wait()


async def settled(backend) -> int:
    """The number of chunks once it no longer grows."""
    made = -1
    while made != backend.chunks:
        made = backend.chunks
        await asyncio.sleep(0.3)
    return made


async def through(app, *, body: bytes = b"", room: int = 2**40):
    """The messages that an application inside the middleware receives until the disconnect."""
    seen, client = [], None

    async def behind(scope, receive, send):
        seen.append(dict(scope["headers"]))
        seen.append(await receive())
        for _ in range(3):
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await asyncio.sleep(0.1)
        while (message := await receive())["type"] != "http.disconnect":
            seen.append(message)
            assert client is not None
            client.left = True

    client = Client(ReportDelivery(behind), {}, room)
    await client.task
    return seen


async def test_bytes_accepted_by_the_connection_are_reported_after_the_body():
    headers, request, *reports = await through(None, body=b"12345")
    assert headers[HEADER] == b"1"
    assert request["type"] == "http.request"
    assert reports == [{"type": DELIVERED, "bytes": 15}]


async def test_a_client_cannot_forge_the_report_header():
    seen: list[list[bytes]] = []

    async def behind(scope, receive, send):
        seen.append([value for name, value in scope["headers"] if name == HEADER])

    scope = {"type": "http", "headers": [(HEADER, b"of the client"), (HEADER, b"twice")]}
    await ReportDelivery(behind)(scope, lambda: asyncio.sleep(9), lambda message: asyncio.sleep(0))  # type: ignore
    assert seen == [[b"1"]]


async def test_a_listener_converts_received_bytes_to_seconds():
    listener = Listener({"headers": [(HEADER, b"1")]}, most_ahead_s=3.0)
    reports = [{"type": DELIVERED, "bytes": n} for n in (15, 20)] + [{"type": "http.disconnect"}]

    async def receive():
        return reports.pop(0)

    for n in range(1, 5):
        listener.sent(10, seconds=float(n))
    assert listener.ahead_s == 4.0
    waits = asyncio.create_task(listener.keeps_up())
    await asyncio.sleep(0.01)
    assert not waits.done()
    assert (await listener.listens_to(receive)())["type"] == "http.disconnect"
    await asyncio.wait_for(waits, 1.0)
    assert listener.ahead_s == 2.0


async def test_without_reports_no_client_is_behind():
    listener = Listener({"headers": []}, most_ahead_s=1.0)
    listener.sent(10, seconds=1000.0)
    await asyncio.wait_for(listener.keeps_up(), 1.0)


async def test_synthesis_waits_for_a_client_that_does_not_read(service, backend):
    """Of about 70 s, 30 s and the work in progress are synthesised, then the rest as it is read, unchanged."""
    app = ReportDelivery(create_app(service))
    body = BODY | {"input": SENTENCE * 20}
    whole = Client(app, body)
    await whole.task
    everything = backend.chunks

    slow = Client(app, body, room=1)
    made = await settled(backend) - everything
    assert made < 0.75 * everything
    assert not slow.task.done()
    assert len(backend.active) <= service.settings.ingress.window, "only started segments hold a slot"
    slow.reads_on()
    await slow.task
    assert slow.data == whole.data


async def test_a_slow_client_within_the_limit_is_not_delayed(service, backend):
    body = BODY | {"input": SENTENCE * 4}  # below 30 s
    slow = Client(ReportDelivery(create_app(service)), body, room=1)
    await settled(backend)
    assert not backend.active
    slow.reads_on()
    await slow.task
    assert len(np.frombuffer(slow.data, "<i2")) > 10 * RATE


async def test_a_slow_client_that_leaves_frees_everything(service, backend):
    app = create_app(service)
    client = Client(ReportDelivery(app), BODY | {"input": SENTENCE * 20}, room=1)
    await settled(backend)
    client.left = True
    client.reads_on()
    await asyncio.wait_for(client.task, 5.0)
    await asyncio.sleep(0.1)
    assert not backend.active
    assert app.state.traffic.listening == 0


def through_serve(app):
    """The application behind the proxy's middleware. As in Serve, the proxy takes all that a replica sends."""

    async def queued(scope, receive, send) -> None:
        messages: asyncio.Queue[dict] = asyncio.Queue()

        async def pump() -> None:
            more = True
            while more:
                message = await messages.get()
                await send(message)
                more = message["type"] == "http.response.start" or message.get("more_body", False)

        pumping = asyncio.create_task(pump())
        try:
            await app(scope, receive, messages.put)
        except BaseException:
            pumping.cancel()
            raise
        await pumping

    return ReportDelivery(queued)


@pytest.fixture
def full_with_two(service) -> object:
    """An application that answers two requests at once."""
    service.settings = Settings.from_args(
        {"data_dir": service.settings.data_dir, "ingress": {"max_ongoing_requests": 2}}, {}
    )
    return through_serve(create_app(service))


async def waits(app, backend, since: float) -> Client:
    """A client that has stopped reading, `since` seconds ago."""
    client = Client(app, BODY | {"input": SENTENCE * 20}, room=1)
    await settled(backend)
    await asyncio.sleep(since)
    return client


async def test_clients_that_hardly_read_give_their_places_to_others(full_with_two, backend, monkeypatch):
    monkeypatch.setattr(delivery, "LATE_S", 1.0)
    alone = Client(full_with_two, BODY | {"input": SENTENCE * 20})
    await alone.task
    first, second = await waits(full_with_two, backend, 0.5), await waits(full_with_two, backend, 1.0)
    short = Client(full_with_two, BODY | {"input": SENTENCE})
    await short.task
    assert short.status == 200 and len(short.data) > RATE
    with pytest.raises(RuntimeError, match="already started") as cut:  # the connection closes before the end
        await first.task
    assert isinstance(cut.value.__cause__, Overloaded) and cut.value.__cause__.code == "client_too_slow"
    assert 0 < len(first.data) < len(alone.data)
    second.reads_on()
    await second.task
    assert second.data == alone.data


async def test_a_client_that_keeps_up_with_its_sound_keeps_its_place(full_with_two, backend, monkeypatch):
    monkeypatch.setattr(delivery, "LATE_S", 60.0)
    clients = [await waits(full_with_two, backend, 0.0) for _ in range(2)]
    refused = Client(full_with_two, BODY | {"input": SENTENCE})
    await refused.task
    assert refused.status == 429
    for client in clients:
        client.reads_on()
        await client.task
        assert client.status == 200


def test_a_listener_is_late_by_what_its_client_should_have_received(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(delivery.time, "monotonic", lambda: now[0])
    speech, file = Listener({"headers": [(HEADER, b"1")]}), Listener({"headers": [(HEADER, b"1")]}, pace=0.5)
    for listener in (speech, file):
        assert listener.late_s == 0.0
        listener.sent(10, seconds=40.0)
    now[0] += 25.0
    assert speech.late_s == file.late_s == 25.0
    for listener in (speech, file):
        listener.taken(10)
    assert speech.late_s == -15.0 and file.late_s == -55.0


async def test_a_whole_file_is_not_throttled(service, backend):
    body = BODY | {"input": SENTENCE * 20, "response_format": "flac"}
    client = Client(ReportDelivery(create_app(service)), body)
    await asyncio.wait_for(client.task, 60.0)
    assert client.data.startswith(b"fLaC")


def test_the_module_imports_only_the_standard_library():
    import subprocess
    import sys

    code = "import sys, serve_app.http.delivery; print([m for m in ('torch', 'numpy', 'fastapi') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
