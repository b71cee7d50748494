"""A long stream over queries: served in parts, and read over queries that end early or break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from ray.exceptions import RayActorError, RayError

from deployments.contract.work import Event
from deployments.leases import long_stream as module
from deployments.leases.long_stream import BROKEN_CALLS, LongStream, More, joined
from deployments.leases.loop import Report

RACE = RuntimeError("Unexpected error (StatusCode.OK): .")
LAST = Report((Event("b", done=True),))
FIRST, MORE = Report((Event("a"),)), More()


class Calls:
    """Each query gets the next of `answers`: reports, then an error."""

    def __init__(self, *answers: list[Report | More | Exception]) -> None:
        self.answers = list(answers)
        self.resumed: list[bool] = []
        self.cancelled = 0

    def __call__(self, resume: bool) -> Stream:
        self.resumed.append(resume)
        return Stream(self, self.answers.pop(0))


class Stream:
    def __init__(self, calls: Calls, answers: list[Report | More | Exception]) -> None:
        self.calls, self.answers = calls, iter(answers)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Report | More:
        for answer in self.answers:
            if isinstance(answer, Exception):
                raise answer
            return answer
        raise StopAsyncIteration

    def cancel(self) -> None:
        self.calls.cancelled += 1


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(module, "AGAIN_S", 0.0)


async def test_a_query_that_breaks_before_its_first_report_is_repeated():
    calls = Calls([RACE], [FIRST, MORE], [RACE], [], [RACE], [LAST])
    assert [report async for report in joined(calls)] == [FIRST, LAST]
    assert calls.resumed == [False, False, True, True, True, True]
    assert calls.cancelled == 6


async def test_repeated_broken_calls_are_an_error():
    calls = Calls(*[[RACE]] * (BROKEN_CALLS + 1))
    with pytest.raises(RuntimeError, match="StatusCode"):
        await anext(joined(calls))
    assert not calls.answers


class FailedOnTheReplica(RayError, RuntimeError):
    """The form in which Ray raises an exception of a replica's method."""


@pytest.mark.parametrize(
    "answers", [[FIRST, RACE], [RayActorError()], [FailedOnTheReplica()], [ValueError("else")]]
)
async def test_an_exception_of_the_replica_ends_the_lease(answers):
    calls = Calls(answers, [LAST])
    with pytest.raises(type(answers[-1])):
        async for _ in joined(calls, RayError):
            pass
    assert len(calls.resumed) == 1


async def test_a_lease_ends_with_a_query_that_does_not_continue():
    calls = Calls([])
    assert [report async for report in joined(calls, RayError)] == []
    assert calls.resumed == [False]


class Counting:
    """Starts streams of numbers, and counts those that are closed."""

    def __init__(self, end: int = 10**9) -> None:
        self.end, self.started, self.closed = end, 0, 0

    async def __call__(self) -> AsyncGenerator[int]:
        self.started += 1
        try:
            for number in range(self.end):
                await asyncio.sleep(0)
                yield number
        finally:
            self.closed += 1


async def items(stream: AsyncIterator) -> list:
    return [item async for item in stream]


async def test_a_stream_is_served_over_queries_without_loss():
    served, numbers = LongStream[int](3), Counting(100)

    class Query:
        def __init__(self, resume: bool) -> None:
            self.stream = served.query("a", numbers, resume)

        def __aiter__(self):
            return self.stream

        def cancel(self) -> None: ...

    assert await items(joined(Query)) == list(range(100))
    assert served.queries == 34 and (numbers.started, numbers.closed) == (1, 1)


async def test_between_two_queries_only_the_waiting_stream_is_continued():
    served, numbers = LongStream[int](2), Counting()
    assert await items(served.query("a", numbers, resume=True)) == [], "nothing waits yet"
    assert await items(served.query("a", numbers, resume=False)) == [0, 1, MORE]
    assert await items(served.query("b", numbers, resume=False)) == []
    assert await items(served.query("b", numbers, resume=True)) == []
    assert await items(served.query("a", numbers, resume=True)) == [2, 3, MORE]
    assert numbers.started == 1 and not numbers.closed


async def test_the_next_query_can_arrive_before_the_last_one_ends():
    served, numbers = LongStream[int](1), Counting()
    first = served.query("a", numbers, resume=False)
    assert [await anext(first), await anext(first)] == [0, MORE]
    second = served.query("a", numbers, resume=True)
    assert await anext(second) == 1
    assert await items(first) == [] and not numbers.closed
    assert await anext(second) == MORE


async def test_an_abandoned_query_closes_the_stream():
    served, numbers = LongStream[int](), Counting()
    query = served.query("a", numbers, resume=False)
    await anext(query)
    await query.aclose()
    assert numbers.closed == 1
    assert await anext(served.query("b", numbers, resume=False)) == 0


async def test_a_stream_that_waits_too_long_for_its_next_query_is_closed(monkeypatch):
    monkeypatch.setattr(module, "CARRY_S", 0.01)
    served, numbers = LongStream[int](1), Counting()
    assert await items(served.query("a", numbers, resume=False)) == [0, MORE]
    while not numbers.closed:
        await asyncio.sleep(0.005)
    assert await items(served.query("a", numbers, resume=True)) == []
