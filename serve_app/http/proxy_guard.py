"""Middleware in Serve's HTTP proxy: it limits requests before the ingress sees them, and retries when a replica dies.

Serve calls `middlewares` in every proxy process (RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH). Imports no torch.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.contract.errors import Unavailable
from deployments.contract.telemetry import ERRORS, REQUESTS, Recorder, Unrecorded
from serve_app.http import cors, errors
from serve_app.http.delivery import ReportDelivery
from serve_app.http.foreign import names_of
from serve_app.http.middleware import SANE_ID, largest_body, largest_book, largest_text

log = logging.getLogger("ray.serve")

# `runtime.start` sets these from the config's limits, because a proxy has no config.
MAX_BODY_VARIABLE = "CHORALE_PROXY_MAX_BODY_BYTES"
MAX_TEXT_VARIABLE = "CHORALE_PROXY_MAX_TEXT_BYTES"
MAX_BOOK_VARIABLE = "CHORALE_PROXY_MAX_BOOK_BYTES"
CORS_VARIABLE = "CHORALE_PROXY_CORS_ORIGINS"  # separated by blanks
DEFAULTS = {
    MAX_BODY_VARIABLE: largest_body(10 * 2**20),
    MAX_TEXT_VARIABLE: largest_text(100_000),
    MAX_BOOK_VARIABLE: largest_book(64 * 2**20),
}
LARGE_BLOCK = 2**20  # bytes
M_MMAP_THRESHOLD = -3  # of malloc.h

# Serve obeys these headers from any client: a timeout, ignoring disconnects, the choice of the replica.
CONTROL = (
    b"x_request_timeout_seconds x_request_disconnect_disabled serve_multiplexed_model_id x_session_id".split()
)
REQUEST_ID = b"x-request-id"
ANNOUNCES_BODY = (b"content-length", b"transfer-encoding")
NOT_ASCII = bytes(range(0x80)) + b"?" * 0x80

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
SPEECH = "/v1/audio/speech"
JOBS = "/v1/jobs"
RECORDINGS = tuple(f'"{name}"'.encode() for name in names_of("reference_audio"))
TEXTS = (SPEECH, "/tts")  # whose bodies hold a text, and the first perhaps a recording
# A repeated POST to these is harmless. They are suffixes, because an application may be served under a prefix.
REPEATABLE = (*TEXTS, "/tts_with_cached_voice", "/v1/cache/free")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits in bytes and seconds. A body must arrive in `body_s` plus one second per `least_rate` bytes received."""

    max_body: int = field(default_factory=lambda: _limit(MAX_BODY_VARIABLE))
    max_text: int = field(default_factory=lambda: _limit(MAX_TEXT_VARIABLE))  # of a body without a recording
    max_book: int = field(default_factory=lambda: _limit(MAX_BOOK_VARIABLE))  # of a body with a book
    # bytes of each body that do not count in `buffered`, so that uploads never cause a short request to be refused
    small: int = 32 * 1024
    buffered: int = 256 * 2**20  # of all bodies together
    silence_s: float = 10.0
    body_s: float = 30.0
    least_rate: int = 32 * 1024
    tries: int = 4  # few, because a request that kills replicas must not kill many
    lost_s: float = 30.0  # since the first loss


class Refused(Exception):
    """The request is answered with `error` and not passed on."""

    def __init__(self, error: errors.HttpError | Exception) -> None:
        self.error = error if isinstance(error, errors.HttpError) else errors.to_http(error)


def middlewares() -> list[Middleware]:
    """Serve's callback. It installs `GuardedProtocol` and puts `Guard` around Serve's own application."""
    from uvicorn import config

    from deployments.metrics import ServeMetrics

    # Serve lets uvicorn choose `http` and `ws`. uvicorn looks them up here when the server starts, which is later.
    config.HTTP_PROTOCOLS["auto"] = "serve_app.http.proxy_protocol:GuardedProtocol"
    config.WS_PROTOCOLS["auto"] = None
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        # glibc returns large blocks to the system at once; by default it adapts and keeps blocks of sizes seen
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
    return [
        Middleware(ReportDelivery),
        Middleware(Guard, recorder=ServeMetrics()),
    ]  # the last is the outermost


def _limit(variable: str) -> int:
    return int(os.environ.get(variable, DEFAULTS[variable]))


class Guard:
    """ASGI middleware: passes a request on once its body is complete, and retries when the replica dies."""

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits | None = None,
        origins: Sequence[str] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.app, self.limits, self.recorder = app, limits or Limits(), recorder or Unrecorded()
        self.origins = os.environ.get(CORS_VARIABLE, "").split() if origins is None else origins
        self.buffered = 0  # bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope = {**scope, "headers": _clean(scope["headers"])}
        body = _Body(self)
        try:
            if await self._read(body, scope, receive):
                await self._forward(scope, body, receive, send)
        except Refused as refused:
            self._count(refused.error)
            response = refused.error.response()
            response.raw_headers.append(scope["headers"][-1])  # the request's id
            await cors.with_cors(response, self.origins)(scope, receive, send)
        finally:
            body.release()

    def _count(self, error: errors.HttpError) -> None:
        labels = {"endpoint": "proxy", "status": str(error.status)}
        self.recorder.record(REQUESTS, 1, **labels)
        self.recorder.record(ERRORS, 1, **labels, code=error.code or "none")

    async def _read(self, body: _Body, scope: Scope, receive: Receive) -> bool:
        """False if the client left before the end. Raises Refused for a body that is too large or too slow."""
        announced = {name: value for name, value in scope["headers"] if name in ANNOUNCES_BODY}
        limits, clock = self.limits, asyncio.get_running_loop().time
        body.most = limits.max_book if scope["path"].endswith(JOBS) else limits.max_body
        length = announced.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > body.most:
            raise Refused(errors.too_large(body.most))
        began = heard = clock()
        more = bool(announced)
        while more:
            patience = began + limits.body_s + len(body.data) / limits.least_rate
            try:
                async with asyncio.timeout(min(heard + limits.silence_s, patience) - clock()):
                    message = await receive()
            except TimeoutError:
                late = "The request's body did not arrive in time."
                raise Refused(errors.HttpError(408, late, "request_timeout")) from None
            if message["type"] == "http.disconnect":
                return False
            if piece := message.get("body", b""):
                heard = clock()
                body.add(piece)
            more = message.get("more_body", False)
        body.data = bytes(body.data)  # shared by all tries
        if len(body.data) > limits.max_text and scope["path"].endswith(TEXTS) and not body.holds(RECORDINGS):
            raise Refused(errors.text_too_large(limits.max_text))
        return True

    async def _forward(self, scope: Scope, body: _Body, receive: Receive, send: Send) -> None:
        """Raises Refused if no replica answered."""
        clock = asyncio.get_running_loop().time
        give_up, what = None, f"{scope['method']} {scope['path'][:200]}"
        died = "The process that handled the request died"
        for attempt in range(self.limits.tries):
            exchange = _Exchange(body, receive, send)
            try:
                await self.app({**scope, "headers": list(scope["headers"])}, exchange.receive, exchange.send)
            except Exception as error:
                if exchange.answered:
                    raise
                log.exception("%s failed in the proxy", what)
                raise Refused(error) from None
            if exchange.answered or exchange.gone:
                return
            if exchange.error is not None:
                raise Refused(errors.from_proxy(*exchange.error))
            # Serve answers a timeout and a full queue. No answer at all means that the replica died.
            if not (scope["method"] in SAFE_METHODS or scope["path"].endswith(REPEATABLE)):
                raise Refused(Unavailable(f"{died}; the outcome is unknown."))
            give_up = give_up or clock() + self.limits.lost_s
            if clock() > give_up:
                break
            log.warning("%s: the replica died; trying another", what)
            await asyncio.sleep(0.2 * 2**attempt)
        raise Refused(Unavailable(f"{died}."))


class _Body:
    """A request's body. It counts in the guard's budget until it is released."""

    def __init__(self, guard: Guard) -> None:
        self.data: bytes | bytearray = bytearray()
        self._guard, self._counted, self.most = guard, 0, guard.limits.max_body

    def add(self, piece: bytes) -> None:
        limits, size = self._guard.limits, len(self.data) + len(piece)
        if size > self.most:
            raise Refused(errors.too_large(self.most))
        more = max(0, size - limits.small - self._counted)
        if more and self._guard.buffered + more > limits.buffered:
            raise Refused(Unavailable("Too many uploads are in progress; try again later."))
        self._guard.buffered += more
        self._counted += more
        self.data += piece

    def holds(self, any_of: tuple[bytes, ...]) -> bool:
        return any(part in self.data for part in any_of)

    def release(self) -> None:
        self._guard.buffered -= self._counted
        self._counted = 0
        self.data = b""


class _Exchange:
    """One try at an answer. error: the status and headers of the proxy's own error, which is withheld and replaced."""

    def __init__(self, body: _Body, receive: Receive, send: Send) -> None:
        self.body, self.client_receive, self.client_send = body, receive, send
        self.handed = self.answered = self.gone = False
        self.error: tuple[int, dict[bytes, bytes]] | None = None

    async def receive(self) -> Message:
        if not self.handed:
            self.handed = True
            return {"type": "http.request", "body": bytes(self.body.data), "more_body": False}
        while (message := await self.client_receive())["type"] == "http.request":
            pass  # the empty last message of a request without a body
        self.gone = True
        return message

    async def send(self, message: Message) -> None:
        if not self.answered:
            if self.error is not None:
                return
            headers = dict(message.get("headers", ()))
            if message["status"] >= 400 and headers.get(b"content-type", b"").startswith(b"text/plain"):
                self.error = message["status"], headers  # from the proxy: the ingress answers in JSON
                return
            self.answered = True
            self.body.release()
        await self.client_send(message)


def _clean(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Removes Serve's control headers and what Serve cannot decode, and appends exactly one request id."""
    kept, asked = [], b""
    for name, value in headers:
        if name.replace(b"-", b"_") in CONTROL or not name.isascii():
            continue
        if name == REQUEST_ID:
            asked = asked or value
        else:
            kept.append((name, value if value.isascii() else value.translate(NOT_ASCII)))
    sane = SANE_ID.fullmatch(asked.decode("latin-1"))
    kept.append((REQUEST_ID, asked if sane else str(uuid.uuid4()).encode()))
    return kept
