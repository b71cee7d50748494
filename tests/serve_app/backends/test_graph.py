"""How long a call on the graph is repeated."""

from __future__ import annotations

import pytest
from ray.exceptions import ActorDiedError, RayTaskError

from deployments.contract.errors import SynthesisFailed, Unavailable
from serve_app.backends import graph


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which only the test moves."""
    now = [1000.0]
    monkeypatch.setattr(graph.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(graph, "AGAIN_S", 0.0)
    return now


async def test_a_call_that_waited_long_is_repeated_after_its_first_loss(clock: list[float]):
    losses = graph.Losses("gpt")
    clock[0] += 10 * graph.GIVE_UP_S  # in a queue
    await losses.wait(ActorDiedError())


async def test_a_stage_that_stays_lost_is_given_up(clock: list[float]):
    losses = graph.Losses("gpt")
    await losses.wait(ActorDiedError())
    clock[0] += graph.GIVE_UP_S - 1
    await losses.wait(ActorDiedError())
    clock[0] += 2
    with pytest.raises(Unavailable, match="gpt"):
        await losses.wait(ActorDiedError())


async def test_progress_begins_the_time_anew(clock: list[float]):
    losses = graph.Losses("gpt")
    for _ in range(3):
        await losses.wait(ActorDiedError())
        clock[0] += graph.GIVE_UP_S + 1
        losses.over()


async def test_what_is_no_loss_is_not_repeated(clock: list[float]):
    with pytest.raises(SynthesisFailed):
        await graph.Losses("gpt").wait(RayTaskError("submit", "", ValueError("x")))
