"""Any bytes on a connection to the proxy: it answers in HTTP, or closes, and serves the next client."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import suppress

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.http.proxy_guard import Guard
from tests.serve_app.http.test_proxy_guard import LIMITS, Behind, raw, serving

PIECES = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /v1/jobs HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"HEAD /x%zz?\xff HTTP/1.0\r\n",
        b"Host: a\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
        b": \r\n",
        b"a" * 70_000,
        b"X: y\r\n" * 101,
        b"\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"hello",
        b"\0",
        b"\n",
        b"\x16\x03\x01\x02\0\x01\0",
    ]
) | st.binary(max_size=20)
QUIET_S = 0.05  # after which the server waits for more bytes
GOOD = b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def url(portal: BlockingPortal) -> Iterator[str]:
    with portal.wrap_async_context_manager(serving(Guard(Behind(), LIMITS))) as url:
        yield url


async def answers(url: str, data: bytes) -> bytes:
    """What the server says to these bytes until it closes or waits for more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    answer = b""
    with suppress(ConnectionError, TimeoutError):
        writer.write(data)
        while piece := await asyncio.wait_for(reader.read(2**16), QUIET_S):
            answer += piece
    writer.close()
    return answer


@given(st.lists(PIECES, max_size=12).map(b"".join))
@settings(max_examples=60)
def test_any_bytes_are_answered_in_http_or_the_connection_closes(
    portal: BlockingPortal, url: str, data: bytes
) -> None:
    answer = portal.call(answers, url, data)
    assert not answer or STATUS.match(answer), answer[:99]
    for status in map(int, STATUS.findall(answer)):
        assert status < 500 or status == 503
    final = STATUS.match(answer)
    if final and int(final[1]) >= 400:
        body = answer.partition(b"\r\n\r\n")[2]
        assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
    assert portal.call(raw, url, GOOD).startswith(b"HTTP/1.1 200")
