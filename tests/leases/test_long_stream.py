"""A lease over queries that end early or break."""

from __future__ import annotations

import pytest
from ray.exceptions import RayActorError, RayError

from deployments.contract.work import Event
from deployments.leases import long_stream as module
from deployments.leases.long_stream import BROKEN_CALLS, lease_reports
from deployments.leases.loop import Report

RACE = RuntimeError("Unexpected error (StatusCode.OK): .")
LAST = Report((Event("b", done=True),))
MORE = Report((Event("a"),), more=True)


class Calls:
    """Each query gets the next of `answers`: reports, then an error."""

    def __init__(self, *answers: list[Report | Exception]) -> None:
        self.answers = list(answers)
        self.resumed: list[bool] = []
        self.cancelled = 0

    def __call__(self, resume: bool) -> Stream:
        self.resumed.append(resume)
        return Stream(self, self.answers.pop(0))


class Stream:
    def __init__(self, calls: Calls, answers: list[Report | Exception]) -> None:
        self.calls, self.answers = calls, iter(answers)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Report:
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
    calls = Calls([RACE], [MORE], [RACE], [], [RACE], [LAST])
    assert [report async for report in lease_reports(calls)] == [MORE, LAST]
    assert calls.resumed == [False, False, True, True, True, True]
    assert calls.cancelled == 6


async def test_repeated_broken_calls_are_an_error():
    calls = Calls(*[[RACE]] * (BROKEN_CALLS + 1))
    with pytest.raises(RuntimeError, match="StatusCode"):
        await anext(lease_reports(calls))
    assert not calls.answers


class FailedOnTheReplica(RayError, RuntimeError):
    """The form in which Ray raises an exception of a replica's method."""


@pytest.mark.parametrize(
    "answers", [[MORE, RACE], [RayActorError()], [FailedOnTheReplica()], [ValueError("else")]]
)
async def test_an_exception_of_the_replica_ends_the_lease(answers):
    calls = Calls(answers, [LAST])
    with pytest.raises(type(answers[-1])):
        async for _ in lease_reports(calls, RayError):
            pass
    assert len(calls.resumed) == 1


async def test_a_lease_ends_with_a_query_that_does_not_continue():
    calls = Calls([])
    assert [report async for report in lease_reports(calls, RayError)] == []
    assert calls.resumed == [False]
