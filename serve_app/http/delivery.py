"""Backpressure from the client to the synthesis: the proxy reports how much of a response the client has received.

Serve's proxy takes a response from the replica as fast as it is produced, however slowly the client reads. Therefore
`ReportDelivery` counts in the proxy the bytes that the client's connection has accepted, and sends the count to the
replica among the request's ASGI messages. A `Listener` in the replica compares it with the sound that was sent.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.contract.errors import Overloaded

HEADER = b"x-chorale-delivery"  # marks a request whose proxy reports; a client's own is dropped
DELIVERED = "chorale.delivered"  # type of a report: {"type": DELIVERED, "bytes": accepted so far}
PERIOD_S = 1.0  # between reports, each of which is a call from the replica to the proxy
MOST_AHEAD_S = 30.0  # of sound
WAITING = "waiting"  # in a request's state: `Waiting`
LATE_S = 10.0  # behind its sound: from here on, a listener may have to give its place to another request


class ReportDelivery:
    """ASGI middleware of the proxy."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        delivery = _Delivery(receive, send)
        headers = [header for header in scope["headers"] if header[0] != HEADER]
        try:
            await self.app({**scope, "headers": [*headers, (HEADER, b"1")]}, delivery.receive, delivery.send)
        finally:
            delivery.close()


class _Delivery:
    """`receive` and `send` of one request. Reports appear among the received messages once the body is complete."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._taken = self._reported = 0
        self._whole = False  # the request's body
        self._next: asyncio.Future[Message] | None = None

    async def send(self, message: Message) -> None:
        await self._send(message)  # returns when the connection can accept more
        self._taken += len(message.get("body", b""))

    async def receive(self) -> Message:
        if not self._whole:
            message = await self._receive()
            self._whole = not message.get("more_body", False)
            return message
        self._next = self._next or asyncio.ensure_future(self._receive())
        while True:
            await asyncio.wait({self._next}, timeout=PERIOD_S)
            if self._next.done():
                message, self._next = self._next.result(), None
                return message
            if self._taken > self._reported:
                self._reported = self._taken
                return {"type": DELIVERED, "bytes": self._taken}

    def close(self) -> None:
        if self._next is not None:
            self._next.cancel()


class Listener:
    """Compares the sound that was sent with what the client has received, if the proxy reports it.

    most_ahead_s: seconds that may be sent and not yet received before `keeps_up` waits. pace: seconds of sound that a
    client should receive in each second.
    """

    def __init__(self, scope: Scope, most_ahead_s: float = MOST_AHEAD_S, pace: float = 1.0) -> None:
        self._reports = any(name == HEADER for name, _ in scope["headers"])
        self._waiting: Waiting = scope.get("state", {}).get(WAITING) or Waiting()
        self._most_ahead_s, self._bytes, self._pace = most_ahead_s, 0, pace
        self._began: float | None = None
        self._cut = False
        self._sent: deque[tuple[int, float]] = deque()  # the end of each part in bytes and in seconds
        self._seconds = self._taken_s = 0.0
        self._news = asyncio.Event()

    @property
    def ahead_s(self) -> float:
        """Seconds of sound that were sent and not yet received."""
        return self._seconds - self._taken_s if self._reports else 0.0

    @property
    def late_s(self) -> float:
        """Seconds by which the client is behind one that reads at its pace."""
        return 0.0 if self._began is None else time.monotonic() - self._began - self._taken_s / self._pace

    def sent(self, data: int, seconds: float) -> None:
        """Records `data` more bytes. seconds: the length of all sound sent so far."""
        if self._began is None:
            self._began = time.monotonic()
        self._bytes, self._seconds = self._bytes + data, seconds
        if self._reports:
            self._sent.append((self._bytes, seconds))

    async def keeps_up(self) -> None:
        """Returns when the client is no more than `most_ahead_s` behind. Raises Overloaded after `cut`."""
        while self.ahead_s > self._most_ahead_s:
            self._news.clear()
            with self._waiting.while_it_waits(self):
                await self._news.wait()
            if self._cut:
                message = "The client reads more slowly than the sound plays, and others wait."
                raise Overloaded(message, code="client_too_slow")

    def taken(self, data: int) -> None:
        """Records that the client has received `data` bytes in all."""
        while self._sent and self._sent[0][0] <= data:
            self._taken_s = self._sent.popleft()[1]
        self._news.set()

    def cut(self) -> None:
        """Breaks the response off."""
        self._cut = True
        self._news.set()

    def listens_to(self, receive: Receive) -> Receive:
        """Wraps `receive`: reports are recorded here and not passed on."""

        async def receive_others() -> Message:
            while (message := await receive())["type"] == DELIVERED:
                self.taken(message["bytes"])
            return message

        return receive_others


class Waiting:
    """The listeners whose clients must read on before their responses continue, in one ingress."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    @contextmanager
    def while_it_waits(self, listener: Listener) -> Iterator[None]:
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    def make_room(self) -> bool:
        """Cuts off the latest one if it is LATE_S late, so that clients that hardly read do not lock others out."""
        latest = max(self._listeners, key=lambda listener: listener.late_s, default=None)
        if latest is None or latest.late_s < LATE_S:
            return False
        self._listeners.discard(latest)
        latest.cut()
        return True


async def no_faster_than(
    listener: Listener, body: AsyncIterator[bytes], seconds: Callable[[], float]
) -> AsyncIterator[bytes]:
    """Yields the body's parts and waits after each until the listener keeps up. seconds: sound in all parts so far."""
    async for part in body:
        listener.sent(len(part), seconds())
        yield part
        await listener.keeps_up()
