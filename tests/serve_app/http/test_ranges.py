"""Range requests, hostile ones included."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from serve_app.http.ranges import file_response, parse_range

DATA = bytes(range(256)) * 40
SIZE = len(DATA)
VERSION = "abc"


def read(begin: int, end: int) -> Iterator[bytes]:
    for start in range(begin, end, 1000):
        yield DATA[start : min(start + 1000, end)]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    response = file_response(request.headers, SIZE, VERSION, read, "audio/mpeg", {"x-own": "1"})
    await response(scope, receive, send)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(application), base_url="http://test"
    ) as client:
        yield client


@pytest.mark.parametrize(
    ("header", "begin", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, SIZE),
        ("bytes=5-9", 5, 10),
        ("bytes=-7", SIZE - 7, SIZE),
        (f"bytes=-{SIZE * 9}", 0, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=10-999999999999999999", 10, SIZE),
        (" bytes=1-2 ", 1, 3),
    ],
)
async def test_a_range_is_sent_alone(client: httpx.AsyncClient, header: str, begin: int, end: int) -> None:
    answer = await client.get("/", headers={"range": header})
    assert answer.status_code == 206
    assert answer.content == DATA[begin:end]
    assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(end - begin)
    assert answer.headers["accept-ranges"] == "bytes" and answer.headers["x-own"] == "1"


@pytest.mark.parametrize(
    "header",
    [
        "bytes=", "bytes=-", "bytes=a-b", "bytes=9-5", "items=0-5", "bytes 0-5", "bytes=0-5, 7-9", "bytes=--5",
        "bytes=0-0," * 5000, "bytes=" + ",".join(f"{n}-" for n in range(3000)), "bytes=0x5-9", "bytes=1e3-",
        "bytes=" + "9" * 4000 + "-", "bytes=+1-2", "bytes= 1 - 2", "bytes=٣-٤",
    ],
)  # fmt: skip
async def test_what_is_not_one_range_is_answered_with_the_whole_file(
    client: httpx.AsyncClient, header: str
) -> None:
    answer = await client.get("/", headers={"range": header.encode("utf-8")})
    assert answer.status_code == 200
    assert answer.content == DATA
    assert "content-range" not in answer.headers


@pytest.mark.parametrize(
    "header", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0", "bytes=" + "9" * 18 + "-"]
)
async def test_a_range_behind_the_end_is_416(client: httpx.AsyncClient, header: str) -> None:
    answer = await client.get("/", headers={"range": header})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (416, "range_not_satisfiable", "Range")
    assert answer.headers["content-range"] == f"bytes */{SIZE}"


async def test_the_tag_names_the_version(client: httpx.AsyncClient) -> None:
    for headers in ({}, {"range": "bytes=0-5"}, {"range": f"bytes={SIZE}-"}):
        answer = await client.get("/", headers=headers)
        assert answer.headers["etag"] == '"abc"' and answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ('"abc"', 206), (' "abc"', 206), ('"abd"', 200), ('W/"abc"', 200), ("abc", 200), ("", 200), ('"abc", "x"', 200),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 200), ('"' + "a" * 60_000 + '"', 200), ('"ab\xff"', 200),
    ],
)  # fmt: skip
async def test_a_range_continues_only_the_same_version(
    client: httpx.AsyncClient, header: str, status: int
) -> None:
    headers = {"range": b"bytes=5-9", "if-range": header.encode("latin-1")}
    answer = await client.get("/", headers=headers)
    assert (answer.status_code, answer.content) == (status, DATA[5:10] if status == 206 else DATA)


async def test_a_range_behind_the_end_of_another_version_gives_the_new_one(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", headers={"range": f"bytes={SIZE}-", "if-range": '"old"'})
    assert (answer.status_code, answer.content) == (200, DATA)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ('"abc"', 304),
        ('W/"abc"', 304),
        ('"x", W/"abc"', 304),
        ("*", 304),
        ('"x"', 200),
        ("abc", 200),
        ("", 200),
    ],
)
async def test_a_client_that_has_the_version_gets_no_second_copy(
    client: httpx.AsyncClient, header: str, status: int
) -> None:
    answer = await client.get("/", headers={"if-none-match": header, "range": "bytes=0-"})
    assert answer.status_code == (304 if status == 304 else 206)
    assert answer.content == (b"" if status == 304 else DATA)


@given(st.text(max_size=40) | st.from_regex(r"\Abytes=[0-9-]{0,30}\Z"), st.integers(0, 2**40))
def test_any_header_gives_a_part_of_the_file_or_a_refusal(header: str, size: int) -> None:
    try:
        found = parse_range(header, size)
    except ValueError:
        return
    if found is not None:
        begin, end = found
        assert 0 <= begin < end <= size
