"""HTTP/1.1 with limits, for Serve's proxy. uvicorn's protocol does not limit headers, framing or connections."""

from __future__ import annotations

import asyncio
import resource
import socket
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from deployments.contract.errors import Unavailable
from serve_app.http.errors import HttpError, to_http

HEAD_BYTES = 64 * 1024  # for the request line and headers, and for the framing of a chunked body
HEADERS = 100  # trailers included
HEAD_S = 10.0  # from the connection, or from the first byte of a later request, to the end of the headers
LINGER_S = 2.0  # to keep reading after a refusal: an immediate close would reset the connection
UNREAD_S = 5.0  # to finish a body whose request is already answered
STALL_S = 120.0  # a client that accepts nothing for this time, with the buffers full, is disconnected
SEND_BYTES = 128 * 1024  # the kernel's send buffer; the default holds megabytes, which is minutes of sound
PIPELINED = 16  # requests sent ahead on one connection
MAX_CONNECTIONS = 4096

_HEAD = f"The request's headers are too large: at most {HEADERS} headers and {HEAD_BYTES} bytes in all."
HEAD_TOO_LARGE = HttpError(431, _HEAD, "headers_too_large")
_FRAMING = "The request's body has too many small chunks, or too many requests were pipelined."
BAD_FRAMING = HttpError(400, _FRAMING, "invalid_request")
TOO_MANY_CONNECTIONS = to_http(Unavailable("Too many connections are open."))


class GuardedProtocol(HttpToolsProtocol):
    """Counts the bytes before the parser stores them, and sets a deadline for each head (request line and headers).

    Of too many connections, the oldest without a complete request is closed: silent clients never lock out others.
    """

    waiting: ClassVar[dict[GuardedProtocol, None]] = {}  # without a complete request, the oldest first

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.in_head = True  # between two requests, or in the headers of one
        self.head_bytes = self.body_bytes = 0
        self.framing = 0  # bytes after the head that are not part of the body
        self.completed = False  # a message ended in the current piece
        self.refusal: HttpError | None = None
        self.refused = False
        self.deadline: asyncio.TimerHandle | None = None
        self.stall: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        self.waiting[self] = None
        self._allow(HEAD_S)
        if len(self.connections) > connection_limit():
            oldest = next(iter(self.waiting))
            if oldest is self:  # all others have a complete request
                self.refuse(TOO_MANY_CONNECTIONS)
            else:
                oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting.pop(self, None)
        self._disarm()
        self._flow()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        room = HEAD_BYTES - self.head_bytes
        if self.in_head and len(data) > room:
            self._feed(data[:room])  # refuses a head that does not end here
            data = data[room:]
        self._feed(data)

    def _feed(self, piece: bytes) -> None:
        """A piece in which a message ended is not counted, because the start of the next one in it is unknown."""
        if self.refused or not piece:
            return
        began_in_head, body = self.in_head, self.body_bytes
        self.completed = False
        super().data_received(piece)
        if self.refused or self.transport.is_closing():
            return
        if self.completed:
            self.head_bytes = 0
        elif self.in_head:
            self.head_bytes += len(piece)
            if self.head_bytes >= HEAD_BYTES:
                self.refuse(HEAD_TOO_LARGE)
            elif self.deadline is None:
                self._allow(HEAD_S)
        elif not began_in_head:
            self.framing += len(piece) - (self.body_bytes - body)
            if self.framing > HEAD_BYTES + self.body_bytes // 32:
                self.refuse(BAD_FRAMING)

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= HEADERS:
            self._reject(HEAD_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= PIPELINED:
            self._reject(BAD_FRAMING)
        self.in_head = False
        self.framing = self.body_bytes = 0
        self._disarm()
        super().on_headers_complete()
        # an upgrade is not supported, and no request can follow it
        if self.parser is not None and self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.in_head = self.completed = True
        self.head_bytes = 0
        self._disarm()
        super().on_message_complete()
        if self.cycle.response_complete:  # refused before its end; uvicorn's keep-alive time already runs
            self._allow(self.timeout_keep_alive)
        else:
            self.waiting.pop(self, None)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if not self.in_head:  # answered early: the rest of the body is discarded for a while
            self._allow(UNREAD_S)
        if not self.pipeline:
            self.waiting[self] = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stall = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._flow()
        super().resume_writing()

    def _flow(self) -> None:
        if self.stall is not None:
            self.stall.cancel()

    def send_400_response(self, msg: str) -> None:
        """Called when the parser fails. `refusal` is set if we stopped it."""
        self.refuse(self.refusal or HttpError(400, msg, "invalid_request"))

    def refuse(self, error: HttpError) -> None:
        """Sends the error, unless an earlier request still waits for its response, and closes."""
        if self.refused or self.transport.is_closing():
            return
        self.refused = True
        owed = self.cycle is not None and not self.cycle.response_complete
        if owed and (self.in_head or self.cycle.response_started):
            self.transport.close()
            return
        response = error.response()
        headers = [*self.server_state.default_headers, *response.raw_headers, (b"connection", b"close")]
        lines = [b"%b: %b\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"\r\n", response.body]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._allow(LINGER_S)
        else:
            self.transport.close()

    def _reject(self, error: HttpError) -> None:
        self.refusal = error
        raise ValueError(error.code)  # stops the parser, which turns it into an error of its own

    def _allow(self, seconds: float) -> None:
        self._disarm()
        self.deadline = self.loop.call_later(seconds, self._late)

    def _disarm(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _late(self) -> None:
        self.deadline = None
        if self.in_head and not self.refused and self.head_bytes:
            late = f"The request's headers did not arrive within {HEAD_S:g} seconds."
            self.refuse(HttpError(408, late, "request_timeout"))
        else:
            self.transport.close()


def connection_limit() -> int:
    """At most half of this process's file descriptors, because Ray and the replicas need some."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, files // 2)
