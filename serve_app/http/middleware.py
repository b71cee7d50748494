"""The outermost layer around the routes: request ids, limits on requests and bodies, and a catch-all for errors."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from dataclasses import replace

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.contract.errors import InvalidInput, Overloaded, Unauthorized
from deployments.contract.telemetry import ERRORS, REQUESTS, Recorder, Unrecorded
from serve_app.books.cover import MOST_BYTES
from serve_app.config.access import AccessSettings
from serve_app.http.access import Access, Account
from serve_app.http.delivery import WAITING, Waiting
from serve_app.http.errors import ERROR_CODE, to_http, too_large

log = logging.getLogger("chorale.http")

SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

# Prefixes of paths that are served however many requests are in progress.
FREE = ("/health", "/ready", "/v1/status", "/v1/models", "/docs", "/openapi.json", "/static/")
ASK = {"www-authenticate": 'Basic realm="Chorale", charset="UTF-8"'}  # a browser asks its user for the key
ACCOUNT = "account"  # in a request's state: the `Account` of its key
SECURITY = {  # headers of every response that does not have its own
    "content-security-policy": "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
ROOTS = ("", "/", "/v1/")  # exact paths
NO_BODY = 64 * 1024  # most bytes of a body that its route does not read
ROOM = 2**20  # bytes for an upload's other fields
PIECE = 64 * 1024  # bytes of a body passed on at a time
PARAMETERS = 64


class RequestMiddleware:
    """max_upload, max_book: bytes of a recording and of a book; max_text: characters of a text; max_requests: at once,
    more get 429, unless one that its client hardly reads can give its place (`Waiting`).

    echo: set x-request-id on responses; recorder: of the metrics; access: None for everyone's.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_upload: int,
        max_book: int,
        max_text: int,
        max_requests: int,
        echo: bool,
        recorder: Recorder | None = None,
        access: Access | None = None,
    ) -> None:
        self.access = access or Access(AccessSettings())
        self.waiting = Waiting()
        self.recorder = recorder or Unrecorded()
        self.app, self.max_requests, self.echo, self.requests = app, max_requests, echo, 0
        self.max_body = {  # bytes, for the routes that read a body
            "/v1/audio/speech": largest_body(max_upload),
            "/v1/audio/read": largest_text(max_text),
            "/v1/audio/voices": max_upload + ROOM,
            "/v1/jobs": largest_book(max_book),
            "/tts": largest_text(max_text),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        asked = headers.get("x-request-id", "")
        request_id = asked if SANE_ID.fullmatch(asked) else f"req_{uuid.uuid4().hex}"
        state = scope.setdefault("state", {})
        state["request_id"], state[WAITING] = request_id, self.waiting
        started, answered = False, 0
        account: Account | None = None

        async def tagged_send(message: Message) -> None:
            nonlocal started, answered
            if message["type"] == "http.response.start":
                started, answered = True, message["status"]
                answer = MutableHeaders(scope=message)
                for name, value in (account.headers() if account else {}).items():
                    answer[name] = value
                for name, value in SECURITY.items():
                    answer.setdefault(name, value)
                if self.echo:
                    answer["x-request-id"] = request_id
            await send(message)

        route = scope["path"].removeprefix(scope.get("root_path", ""))
        works = route not in ROOTS and not route.startswith(FREE)
        self.requests += works
        begun = False
        try:
            account = self.access.check(scope["method"], route, headers)
            if account is not None and works:
                state[ACCOUNT] = account
                account.begin()
                begun = True
            most = self.max_body.get(route, NO_BODY) if scope["method"] == "POST" else NO_BODY
            self._check(scope, headers, works, most)
            return await self.app(scope, _Bounded(receive, most), tagged_send)
        except ClientDisconnect:
            log.info("%s %s: the client left (request %s)", scope["method"], scope["path"], request_id)
            state[ERROR_CODE] = "client_left"
            await Response(status_code=499)(scope, receive, tagged_send)
        except Exception as error:
            # Starlette has wrapped what was raised after the start of the response
            http = to_http((error.__cause__ or error) if started else error)
            state[ERROR_CODE] = http.code
            if started:  # closing the connection is the only way left to show that the body is incomplete
                raise
            if http.status >= 500:
                log.exception("%s %s failed (request %s)", scope["method"], scope["path"], request_id)
            if isinstance(error, Unauthorized) and "text/html" in headers.get("accept", ""):
                http = replace(http, headers=ASK)
            await http.response()(scope, receive, tagged_send)
        finally:
            self.requests -= works
            if begun and account is not None:
                account.end()
            self._count(scope, str(answered), state.get(ERROR_CODE))

    def _count(self, scope: Scope, status: str, code: str | None) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        unrouted = path if path in self.max_body else "unknown"
        endpoint = getattr(scope.get("route"), "path", unrouted)  # as declared, so that there are few
        self.recorder.record(REQUESTS, 1, endpoint=endpoint, status=status)
        if code is not None:
            self.recorder.record(ERRORS, 1, endpoint=endpoint, status=status, code=code)

    def _check(self, scope: Scope, headers: Headers, works: bool, most: int) -> None:
        """Checks the request line and the headers. most: bytes of a body. Raises Overloaded and InvalidInput."""
        if works and self.requests > self.max_requests and not self.waiting.make_room():
            message = f"{self.max_requests} requests are in progress, which is the limit; try again later."
            raise Overloaded(message)
        if scope["query_string"].count(b"&") >= PARAMETERS:
            raise InvalidInput(f"The URL has too many parameters: at most {PARAMETERS} are allowed.")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > most:
            raise too_large(most)


class _Bounded:
    """Splits what `receive` returns into small pieces, and lets other requests run before each."""

    def __init__(self, receive: Receive, most: int) -> None:
        self.receive, self.most, self.taken = receive, most, 0
        self.held, self.more = memoryview(b""), True

    async def __call__(self) -> Message:
        if not self.held:
            message = await self.receive()
            if message["type"] != "http.request":
                return message
            self.held = memoryview(message.get("body", b""))
            self.more = message.get("more_body", False)
            self.taken += len(self.held)
            if self.taken > self.most:
                raise too_large(self.most)
        await asyncio.sleep(0)
        piece = bytes(self.held[:PIECE])
        self.held = self.held[PIECE:] or memoryview(b"")  # an empty view would keep the whole body alive
        return {"type": "http.request", "body": piece, "more_body": bool(self.held) or self.more}


def largest_text(max_input_chars: int) -> int:
    """Most bytes of a speech request without its recording. JSON may write a character as two escapes."""
    return 12 * max_input_chars + 256 * 1024


def largest_body(max_upload: int) -> int:
    """Most bytes of a request with a recording of `max_upload` bytes in base64."""
    return max_upload * 4 // 3 + ROOM


def largest_book(max_book: int) -> int:
    """Most bytes of a request with a book of `max_book` bytes as a file, and a cover."""
    return max_book + MOST_BYTES + ROOM
