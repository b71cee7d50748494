"""Shared by the routes: the service, traffic counters, response headers, and cancellation when the client leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, TypeVar
from urllib.parse import quote

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from starlette.requests import ClientDisconnect

from deployments.contract.errors import InvalidInput
from serve_app.http.access import Account
from serve_app.http.middleware import ACCOUNT
from serve_app.jobs.jobs import Jobs
from serve_app.service import Service, Spoken

log = logging.getLogger("chorale.http")

T = TypeVar("T")


@dataclass(slots=True)
class Traffic:
    """Counts the speech requests so far, and those in progress."""

    requests: int = 0
    listening: int = 0


def _service(request: Request) -> Service:
    return request.app.state.service


def _traffic(request: Request) -> Traffic:
    return request.app.state.traffic


def _jobs(request: Request) -> Jobs:
    return request.app.state.jobs


Shared = Annotated[Service, Depends(_service)]
Counted = Annotated[Traffic, Depends(_traffic)]
SharedJobs = Annotated[Jobs, Depends(_jobs)]


def speech_headers(spoken: Spoken) -> dict[str, str]:
    """x-retries and x-cut count the faults so far; a streamed response may have more later.

    x-chorale-silence: the text had nothing to speak. x-voice: percent-encoded UTF-8 beyond ASCII; a name has no '%'.
    """
    headers = {
        "x-seed": str(spoken.seed),
        "x-voice": quote(spoken.voice, safe=" '"),
        "x-retries": str(spoken.stream.faults.retried),
        "x-cut": str(spoken.stream.faults.cut),
    }
    if spoken.stream.is_silence:
        headers["x-chorale-silence"] = "nothing_to_speak"
    return headers


def charge(request: Request, characters: int) -> None:
    """Counts the text of a request for its API key. Raises RateLimited."""
    account: Account | None = request.scope["state"].get(ACCOUNT)
    if account is not None:
        account.charge(characters)


@contextmanager
def fields_renamed(names: Mapping[str, str]) -> Iterator[None]:
    """Makes errors name a field as the client wrote it. names: of our fields that it gave another name."""
    try:
        yield
    except InvalidInput as error:
        name = names.get(error.param or "")
        if name is not None and error.code != "unknown_parameter":
            error.message = error.message.replace(f"'{error.param}'", f"'{name}'")
            error.param = name
        raise
    except RequestValidationError as error:
        found = [
            {**one, "loc": tuple(names.get(part, part) for part in one["loc"])} for one in error.errors()
        ]
        raise RequestValidationError(found) from None


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`. Cancels it and raises ClientDisconnect if the client leaves first.

    Only for use before a response starts. After that, the response itself watches the client.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def collected(items: AsyncIterator[T]) -> list[T]:
    return [item async for item in items]


async def _disconnected(request: Request) -> None:
    try:
        while (await request.receive())["type"] != "http.disconnect":
            pass
    except Exception:  # the proxy is gone, and the client with it
        log.info("the connection to the client was lost", exc_info=True)
