"""The outermost layer around the routes: request ids, a bound on bodies, and the last net for errors."""

from __future__ import annotations

import logging
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.errors import BodyTooLarge, to_http

log = logging.getLogger("chorale.http")

SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Edge:
    """ASGI middleware. max_body: bytes; echo: set x-request-id on responses (a proxy may do it already)."""

    def __init__(self, app: ASGIApp, max_body: int, echo: bool) -> None:
        self.app = app
        self.max_body = max_body
        self.echo = echo

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        asked = headers.get("x-request-id", "")
        request_id = asked if SANE_ID.fullmatch(asked) else f"req_{uuid.uuid4().hex}"
        scope.setdefault("state", {})["request_id"] = request_id
        started = False
        taken = 0

        async def bounded_receive() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.max_body:
                raise HTTPException(413, self._too_large().message)
            return message

        async def tagged_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if self.echo:
                    MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self.max_body:
            return await to_http(self._too_large()).response()(scope, receive, tagged_send)
        try:
            return await self.app(scope, bounded_receive, tagged_send)
        except ClientDisconnect:
            log.info("%s %s: the client left (request %s)", scope["method"], scope["path"], request_id)
            await Response(status_code=499)(scope, receive, tagged_send)
        except Exception as error:
            if started:  # only a broken connection can still tell that the body is not whole
                raise
            log.exception("%s %s failed (request %s)", scope["method"], scope["path"], request_id)
            await to_http(error).response()(scope, receive, tagged_send)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The request's body is too large: at most {self.max_body} bytes are allowed.")
