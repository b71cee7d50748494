"""How much of an answer its client has taken: reported by the proxy, so that nothing is made for a client that reads
nothing.

Serve's proxy takes an answer from a replica as fast as it is made, however slowly the client reads. So `ReportDelivery`
counts in the proxy what the client's connection has accepted, and sends the count to the replica among the request's
ASGI messages. A `Listener` in the replica holds it against the sound that was sent. Imports nothing but the standard
library: the proxy loads it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEADER = b"x-chorale-delivery"  # of a request whose proxy reports; never a client's own
DELIVERED = "chorale.delivered"  # type of a report: {"type": ..., "bytes": of the body so far}
PERIOD_S = 1.0  # between reports: each is a call from the replica to the proxy
MOST_AHEAD_S = 30.0  # of sound


class ReportDelivery:
    """ASGI middleware of the proxy."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
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
    """`receive` and `send` of one request, with reports among the received messages once the body is whole."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._taken = self._reported = 0
        self._whole = False  # the request's body
        self._next: asyncio.Future[Message] | None = None

    async def send(self, message: Message) -> None:
        await self._send(message)  # returns when the connection has room for more
        self._taken += len(message.get("body", b""))

    async def receive(self) -> Message:
        if not self._whole:
            message = await self._receive()
            self._whole = not message.get("more_body", False)
            return message
        if self._next is None:
            self._next = asyncio.ensure_future(self._receive())
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
    """What a client was sent, and what it has taken of that; the latter is known only where the proxy reports it.

    most_ahead_s: seconds of sound sent and not yet taken, beyond which `keeps_up` waits.
    """

    def __init__(self, scope: Scope, most_ahead_s: float = MOST_AHEAD_S) -> None:
        self._reports = any(name == HEADER for name, _ in scope["headers"])
        self._most_ahead_s = most_ahead_s
        self._bytes = 0
        self._sent: deque[tuple[int, float]] = deque()  # where each part ends: bytes, seconds
        self._seconds = self._taken_s = 0.0
        self._news = asyncio.Event()

    @property
    def ahead_s(self) -> float:
        """Seconds of sound that were sent and not taken."""
        return self._seconds - self._taken_s if self._reports else 0.0

    def sent(self, data: int, seconds: float) -> None:
        """So many more bytes, with which the sound is `seconds` long in all."""
        self._bytes += data
        self._seconds = seconds
        if self._reports:
            self._sent.append((self._bytes, seconds))

    async def keeps_up(self) -> None:
        """Returns when the client is no more than `most_ahead_s` behind."""
        while self.ahead_s > self._most_ahead_s:
            self._news.clear()
            await self._news.wait()

    def listens_to(self, receive: Receive) -> Receive:
        """`receive` without the reports, which are noted here."""

        async def other() -> Message:
            while (message := await receive())["type"] == DELIVERED:
                self._taken(message["bytes"])
            return message

        return other

    def _taken(self, data: int) -> None:
        while self._sent and self._sent[0][0] <= data:
            self._taken_s = self._sent.popleft()[1]
        self._news.set()


async def no_faster_than(
    listener: Listener, body: AsyncIterator[bytes], seconds: Callable[[], float]
) -> AsyncIterator[bytes]:
    """The body's parts, the next one when the listener keeps up. seconds: of sound in all parts so far."""
    async for part in body:
        listener.sent(len(part), seconds())
        yield part
        await listener.keeps_up()
