"""Serves files with range requests, from any store, no faster than the client reads."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from serve_app.http.delivery import Listener, no_faster_than
from serve_app.http.errors import HttpError

RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
RATE = 2**20  # bytes that count as a second of sound for the backpressure
AHEAD_S = 8.0
PACE = 2**13 / RATE  # of a sound of 64 kbit/s, as it plays


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the byte after the last one, None for the whole file.

    Several ranges, other units and malformed values give the whole file, as RFC 9110 allows.
    Raises ValueError for a range that begins after the end.
    """
    found = RANGE.fullmatch((header or "").strip())
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        length = int(found[2])
        if not length or not size:
            raise ValueError
        return max(0, size - length), size
    begin, last = int(found[1]), int(found[2] or size - 1)
    if found[2] and last < begin:
        return None
    if begin >= size:
        raise ValueError
    return begin, min(last + 1, size)


def file_answers(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """What `file_response` answers, for the OpenAPI document. kinds: media types."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {
        200: {"content": content},
        206: {"description": "The range", "content": content},
        304: {"description": "The client has this version"},
    }


def file_response(
    asked: Mapping[str, str],
    size: int,
    version: str,
    read: Callable[[int, int], Iterator[bytes]],
    media_type: str,
    headers: Mapping[str, str],
) -> Response:
    """Answers a GET: with all of a file or one range of it, or with 304 for a client that has this version.

    asked: the request's headers; version: of the file, its `ETag`; read: returns the bytes from one place to another,
    in pieces. A range that continues another version (`If-Range`) gives the whole file.
    """
    tag = f'"{version}"'
    headers = {**headers, "accept-ranges": "bytes", "etag": tag, "cache-control": "no-cache"}
    if _has(asked.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    same = asked.get("if-range", tag).strip() == tag  # a weak tag or a date proves nothing
    try:
        part = parse_range(asked.get("range"), size) if same else None
    except ValueError:
        beyond = f"Invalid 'Range': the file has {size} bytes, and the range begins after them."
        headers |= {"content-range": f"bytes */{size}"}
        return HttpError(416, beyond, "range_not_satisfiable", param="Range", headers=headers).response()
    begin, end = part or (0, size)
    headers["content-length"] = str(end - begin)
    if part is not None:
        headers["content-range"] = f"bytes {begin}-{end - 1}/{size}"
    status = 200 if part is None else 206
    body = iterate_in_threadpool(read(begin, end))
    return _Paced(body, status_code=status, media_type=media_type, headers=headers)


def _has(tags: str, tag: str) -> bool:
    """Whether an If-None-Match names the tag, weak or strong, or any."""
    return any(each.strip().removeprefix("W/") in (tag, "*") for each in tags.split(","))


class _Paced(StreamingResponse):
    def __init__(self, body: AsyncIterator[bytes], **options: Any) -> None:
        super().__init__(body, **options)
        self._body, self._bytes = body, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        listener = Listener(scope, AHEAD_S, PACE)
        self.body_iterator = no_faster_than(listener, self._counted(), lambda: self._bytes / RATE)
        await super().__call__(scope, listener.listens_to(receive), send)

    async def _counted(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            self._bytes += len(piece)
            yield piece
