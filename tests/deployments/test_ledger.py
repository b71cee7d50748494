from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from deployments.engine.work import Event, WorkItem
from deployments.errors import InvalidInput, Overloaded, SynthesisFailed
from deployments.families.base import Run
from deployments.ledger import Ledger
from tests.serve.sim_stage import expected, request


def item(seed: int, codes: int = 30, priority: int = 0) -> WorkItem:
    return WorkItem(f"i{seed}", request(seed, codes), priority)


def ledger(**options) -> Ledger:
    return Ledger("Sim", **({"slots": 4, "max_queue": 8} | options))


async def collect(book: Ledger, work: WorkItem, admitted: bool = False) -> list[Event]:
    return [event async for event in book.submit(work, admitted)]


def codes(events: list[Event]) -> np.ndarray:
    return np.concatenate([event.value.codes for event in events if event.value is not None])


async def submitted(book: Ledger, *works: WorkItem) -> list[asyncio.Task]:
    tasks = [asyncio.create_task(collect(book, work)) for work in works]
    await asyncio.sleep(0)
    return tasks


def events_of(work: WorkItem, start: int, stop: int, done: bool = False) -> list[Event]:
    seed = int(work.payload.segment.token_ids[0])
    return [Event(work.id, Run(expected(seed, stop)[start:]), done, index=start)]


async def test_what_is_delivered_reaches_the_listener_in_order():
    book = ledger()
    book.open_lease("a")
    work = item(1)
    (task,) = await submitted(book, work)
    grant = await book.pull("a", 4, 1.0)
    assert grant.items == (work,)
    book.deliver("a", events_of(work, 0, 10))
    book.deliver("a", events_of(work, 10, 30, done=True))
    assert (codes(await task) == expected(1, 30)).all()
    assert book.in_flight == 0 and book.counts["completed"] == 1


async def test_a_lost_lease_is_resumed_behind_what_was_delivered():
    book = ledger()
    book.open_lease("a")
    work = item(1)
    (task,) = await submitted(book, work)
    await book.pull("a", 4, 1.0)
    book.deliver("a", events_of(work, 0, 10))
    assert book.end_lease("a", died=True) == 1

    book.open_lease("b")
    (again,) = (await book.pull("b", 4, 1.0)).items
    assert (again.payload.prefix == expected(1, 10)).all()
    book.deliver("a", events_of(work, 10, 20))  # late words of the dead
    book.deliver("b", events_of(work, 5, 20))  # begins too early
    book.deliver("b", events_of(work, 5, 8))  # nothing new
    book.deliver("b", events_of(work, 20, 30, done=True))
    assert (codes(await task) == expected(1, 30)).all()
    assert book.counts["requeued"] == 1 and book.counts["deaths"] == 1


async def test_what_comes_back_goes_before_what_waits():
    book = ledger()
    book.open_lease("a")
    first = [item(n, priority=9) for n in range(3)]
    tasks = await submitted(book, *first)
    assert (await book.pull("a", 4, 1.0)).items == tuple(first)
    tasks += await submitted(book, item(7, priority=0))
    book.end_lease("a", died=True)
    book.open_lease("b")
    assert [work.id for work in (await book.pull("b", 4, 1.0)).items] == ["i0", "i1", "i2", "i7"]
    for task in tasks:
        task.cancel()


async def test_poison_fails_and_its_companions_do_not():
    book = ledger()
    poison, other = item(1), item(2)
    tasks = await submitted(book, poison, other)
    for death in range(2):
        book.open_lease(f"l{death}")
        assert len((await book.pull(f"l{death}", 4, 1.0)).items) == 2
        book.end_lease(f"l{death}", died=True)
    book.open_lease("x")
    (alone,) = (await book.pull("x", 4, 1.0)).items  # the last chance is taken alone
    assert alone.id == poison.id
    assert (await book.pull("x", 3, 0.01)).items == ()
    book.end_lease("x", died=True)
    (failed,) = await tasks[0]
    assert isinstance(failed.error, SynthesisFailed)

    book.open_lease("y")
    (work,) = (await book.pull("y", 4, 1.0)).items
    book.deliver("y", events_of(work, 0, 30, done=True))
    assert (codes(await tasks[1]) == expected(2, 30)).all()


async def test_a_full_line_refuses_with_a_time_but_not_those_let_in():
    book = ledger(max_queue=2)
    tasks = await submitted(book, item(1), item(2))
    (refused,) = await collect(book, item(3))
    assert isinstance(refused.error, Overloaded) and refused.error.retry_after >= 1
    assert book.counts["refused"] == 1
    later = asyncio.create_task(collect(book, item(4), admitted=True))
    await asyncio.sleep(0)
    assert book.pending == 3
    for task in (*tasks, later):
        task.cancel()


async def test_retry_after_follows_the_throughput():
    now = [0.0]
    book = ledger(max_queue=100, clock=lambda: now[0])
    book.open_lease("a")
    works = [item(n) for n in range(60)]
    tasks = await submitted(book, *works)
    for work in works[:20]:  # two a second
        await book.pull("a", 1, 1.0)
        book.deliver("a", events_of(work, 0, 30, done=True))
        now[0] += 0.5
    assert book.rate() == pytest.approx(2.0)
    assert book.retry_after() == pytest.approx(10.0)
    now[0] += 100
    assert book.retry_after() == 1.0
    for task in tasks:
        task.cancel()


async def test_the_same_id_twice_is_refused():
    book = ledger()
    (task,) = await submitted(book, item(1))
    (refused,) = await collect(book, item(1))
    assert isinstance(refused.error, InvalidInput)
    task.cancel()


async def test_cancelling_ends_the_stream_and_tells_the_replica():
    book = ledger()
    book.open_lease("a")
    waiting, working = item(1), item(2)
    tasks = await submitted(book, working, waiting)
    await book.pull("a", 1, 1.0)
    poll = asyncio.create_task(book.cancellations("a", 5.0))
    await asyncio.sleep(0)
    assert book.cancel(working.id) and book.cancel(waiting.id)
    assert not book.cancel("unknown")
    assert (await poll).cancelled == (working.id,)
    assert await tasks[0] == [] and await tasks[1] == []
    assert book.pending == book.in_flight == 0


async def test_a_listener_that_goes_away_cancels():
    book = ledger()
    book.open_lease("a")
    work = item(1)
    async with contextlib.aclosing(book.submit(work)) as events:
        pull = asyncio.create_task(book.pull("a", 4, 1.0))
        first = asyncio.create_task(anext(events))
        await pull
        book.deliver("a", events_of(work, 0, 10))
        await first
    assert book.in_flight == 0
    assert (await book.cancellations("a", 1.0)).cancelled == (work.id,)


async def test_the_line_is_shared_among_those_who_ask():
    book = ledger(slots=8, max_queue=50)
    for name in "ab":
        book.open_lease(name)
    pulls = [asyncio.create_task(book.pull(name, 8, 1.0)) for name in "ab"]
    await asyncio.sleep(0)
    tasks = await submitted(book, *(item(n) for n in range(8)))
    grants = await asyncio.gather(*pulls)
    assert sorted(len(grant.items) for grant in grants) == [4, 4]
    for task in tasks:
        task.cancel()


async def test_an_unknown_lease_is_told_to_close():
    book = ledger()
    (task,) = await submitted(book, item(1))
    assert (await book.pull("nobody", 4, 1.0)).close
    assert (await book.cancellations("nobody", 1.0)).close
    assert book.pending == 1
    task.cancel()


async def test_a_lease_that_is_not_kept_closes_while_it_waits():
    keep = [True]
    book = ledger(keep=lambda lease: keep[0])
    book.open_lease("a")
    pull = asyncio.create_task(book.pull("a", 4, 30.0))
    await asyncio.sleep(0)
    keep[0] = False
    book.nudge()
    assert (await pull).close
