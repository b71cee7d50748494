"""Endless streams over Ray's, which must end: both halves.

Ray keeps about 200 bytes for every item of a stream until the stream ends (measured with 2.60), and a busy lease never
ends. So a stream is served in queries of at most `ITEMS_PER_QUERY` items, and its reader makes one query after the
other. The stream itself continues meanwhile.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

ITEMS_PER_QUERY = 10_000
CARRY_S = 10.0  # how long a stream waits for its next query
AGAIN_S = 0.05  # before a query that reached the wrong replica is repeated
BROKEN_CALLS = 3  # consecutive ones without an item that are taken for Ray's race


@dataclass(frozen=True, slots=True)
class More:
    """The last item of a query whose stream continues in the next."""


class LongStream(Generic[T]):
    """The serving half: one stream at a time, over several queries. queries: their number so far."""

    def __init__(self, items_per_query: int = ITEMS_PER_QUERY) -> None:
        self.items_per_query = items_per_query
        self.queries = 0
        self._carried: tuple[str, AsyncGenerator[T], asyncio.TimerHandle] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def query(
        self, name: str, start: Callable[[], AsyncGenerator[T]], resume: bool
    ) -> AsyncGenerator[T | More]:
        """The items of the stream `name`: a new one, or with `resume` the one that waits for its next query.

        Empty if another stream waits for its next query, or if `name` does not. A stream that waits longer than
        CARRY_S is closed, and so is one whose query is abandoned.
        """
        carried = self._carried
        if (carried[0] if carried else None) != (name if resume else None):
            return
        stream = start()
        if carried is not None:
            self._carried = None
            stream = carried[1]
            carried[2].cancel()
        self.queries += 1
        count, continues = 0, False
        try:
            async for item in stream:
                yield item
                count += 1
                if count == self.items_per_query:
                    continues = True
                    self._carry(name, stream)
                    yield More()
                    return
        finally:
            if not continues:
                await stream.aclose()

    def _carry(self, name: str, stream: AsyncGenerator[T]) -> None:
        running = asyncio.get_running_loop()

        def expire() -> None:
            if self._carried is not None and self._carried[1] is stream:
                self._carried = None
                self._closing = running.create_task(stream.aclose())

        self._carried = name, stream, running.call_later(CARRY_S, expire)


async def bounded(stream: AsyncGenerator[T]) -> AsyncGenerator[T | More]:
    """The serving half of a stream that loses nothing when it is opened again: one query of it."""
    for _ in range(ITEMS_PER_QUERY):
        try:
            yield await anext(stream)
        except StopAsyncIteration:
            return
    yield More()


async def joined(
    query: Callable[[bool], Any], lost: type[Exception] = ConnectionError
) -> AsyncGenerator[Any]:
    """The reading half: all items of a stream. Raises what the serving side raises.

    query: makes a query, given whether it continues the stream. lost: what it raises if the serving process died.

    A query that continues the stream may reach a replica that does not have it, and ends at once: it is made again. So
    is one that Ray breaks ("Unexpected error (StatusCode.OK)", 2.60): its router takes a call that ends at once for an
    error, if the end overtakes the metadata that it waits for.
    """
    resume, until, broken = False, 0.0, 0
    while True:
        stream = query(resume)
        item: Any = None
        try:
            async for item in stream:
                if not isinstance(item, More):
                    yield item
            broken = 0
        except RuntimeError as error:
            if item is not None or isinstance(error, lost) or broken == BROKEN_CALLS:
                raise
            broken += 1
        finally:
            stream.cancel()
        if isinstance(item, More):
            resume, until = True, time.monotonic() + CARRY_S
        elif item is None and (broken or (resume and time.monotonic() < until)):
            await asyncio.sleep(AGAIN_S)
        else:
            return
