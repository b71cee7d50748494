from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from deployments.engine.work import Event, WorkItem
from deployments.errors import InvalidInput, Overloaded, SynthesisFailed
from deployments.families.base import Run
from deployments.ledger import Ledger, Orders
from tests.serve.sim_stage import expected, request


def item(seed: int, codes: int = 30, priority: int = 0) -> WorkItem:
    return WorkItem(f"i{seed}", request(seed, codes), priority)


def ledger(**options) -> Ledger:
    return Ledger("Sim", **({"slots": 4, "max_queue": 8} | options))


async def next_orders(book: Ledger, lease: str, slots: int = 4, heartbeat_s: float = 1.0) -> Orders:
    async with contextlib.aclosing(book.orders(lease, slots, heartbeat_s)) as stream:
        return await anext(stream)


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
    assert (await next_orders(book, "a")).items == (work,)
    book.deliver("a", events_of(work, 0, 10))
    book.deliver("a", events_of(work, 10, 30, done=True))
    assert (codes(await task) == expected(1, 30)).all()
    assert book.in_flight == 0 and book.counts["completed"] == 1


async def test_a_lost_lease_is_resumed_behind_what_was_delivered():
    book = ledger()
    book.open_lease("a")
    work = item(1)
    (task,) = await submitted(book, work)
    await next_orders(book, "a")
    book.deliver("a", events_of(work, 0, 10))
    assert book.end_lease("a", died=True) == 1

    book.open_lease("b")
    (again,) = (await next_orders(book, "b")).items
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
    assert (await next_orders(book, "a")).items == tuple(first)
    tasks += await submitted(book, item(7, priority=0))
    book.end_lease("a", died=True)
    book.open_lease("b")
    assert [work.id for work in (await next_orders(book, "b")).items] == ["i0", "i1", "i2", "i7"]
    for task in tasks:
        task.cancel()


async def test_poison_fails_and_its_companions_do_not():
    book = ledger()
    poison, other = item(1), item(2)
    tasks = await submitted(book, poison, other)
    for death in range(2):
        book.open_lease(f"l{death}")
        assert len((await next_orders(book, f"l{death}")).items) == 2
        book.end_lease(f"l{death}", died=True)
    book.open_lease("x")
    (alone,) = (await next_orders(book, "x")).items  # the last chance is taken alone
    assert alone.id == poison.id
    assert await next_orders(book, "x", heartbeat_s=0.01) == Orders()
    book.end_lease("x", died=True)
    (failed,) = await tasks[0]
    assert isinstance(failed.error, SynthesisFailed)

    book.open_lease("y")
    (work,) = (await next_orders(book, "y")).items
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
    works = [item(n) for n in range(61)]
    tasks = await submitted(book, *works)
    for work in works[:20]:  # two a second; the next in line is given out at once
        assert (await next_orders(book, "a", slots=1)).items == (work,)
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
    assert (await next_orders(book, "a", slots=1)).items == (working,)
    told = asyncio.create_task(next_orders(book, "a", slots=1))
    await asyncio.sleep(0)
    assert book.cancel(working.id) and book.cancel(waiting.id)
    assert not book.cancel("unknown")
    assert await told == Orders(cancelled=(working.id,)), "the other one was not passed on yet"
    assert await tasks[0] == [] and await tasks[1] == []
    assert book.pending == book.in_flight == 0


async def test_a_listener_that_goes_away_cancels():
    book = ledger()
    book.open_lease("a")
    work = item(1)
    async with contextlib.aclosing(book.submit(work)) as events:
        told = asyncio.create_task(next_orders(book, "a"))
        first = asyncio.create_task(anext(events))
        await told
        book.deliver("a", events_of(work, 0, 10))
        await first
    assert book.in_flight == 0
    assert (await next_orders(book, "a")).cancelled == (work.id,)


async def test_work_goes_to_whoever_holds_the_fewest():
    book = ledger(slots=8, max_queue=50)
    for name in "ab":
        book.open_lease(name)
    told = [asyncio.create_task(next_orders(book, name, slots=8)) for name in "ab"]
    await asyncio.sleep(0)
    works = [item(n) for n in range(8)]
    tasks = await submitted(book, *works)
    a, b = await asyncio.gather(*told)
    assert [work.id for work in a.items] == ["i0", "i2", "i4", "i6"]
    assert [work.id for work in b.items] == ["i1", "i3", "i5", "i7"]
    for work in b.items[:3]:
        book.deliver("b", events_of(work, 0, 30, done=True))
    tasks += await submitted(book, item(8), item(9))
    assert [work.id for work in (await next_orders(book, "b", slots=8)).items] == ["i8", "i9"]
    for task in tasks:
        task.cancel()


async def test_a_lease_gets_no_more_than_its_slots():
    book = ledger()
    book.open_lease("a")
    tasks = await submitted(book, *(item(n) for n in range(5)))
    first = (await next_orders(book, "a", slots=2)).items
    assert [work.id for work in first] == ["i0", "i1"] and book.pending == 3
    book.deliver("a", events_of(first[1], 0, 30, done=True))
    assert [work.id for work in (await next_orders(book, "a", slots=2)).items] == ["i2"]
    for task in tasks:
        task.cancel()


async def test_a_stream_of_orders_ends_after_so_many_and_the_next_goes_on(monkeypatch):
    monkeypatch.setattr("deployments.ledger.ORDERS_PER_STREAM", 3)
    book, streams, seen = ledger(slots=1, max_queue=50), 0, []
    book.open_lease("a")
    works = [item(n) for n in range(10)]
    tasks = await submitted(book, *works)
    while len(seen) < 10:
        streams += 1
        async for orders in book.orders("a", 1):
            seen += [work.id for work in orders.items]
            for work in orders.items:
                book.deliver("a", events_of(work, 0, 30, done=True))
    assert seen == [work.id for work in works] and streams == 4
    await asyncio.gather(*tasks)


async def test_an_unknown_lease_is_told_to_close():
    book = ledger()
    (task,) = await submitted(book, item(1))
    assert await next_orders(book, "nobody") == Orders(end=True)
    assert book.pending == 1
    task.cancel()


async def test_a_lease_that_is_not_kept_closes_while_it_waits():
    keep = [True]
    book = ledger(keep=lambda lease: keep[0])
    book.open_lease("a")
    told = asyncio.create_task(next_orders(book, "a", heartbeat_s=30.0))
    await asyncio.sleep(0)
    keep[0] = False
    book.nudge()
    assert await told == Orders(close=True)
    tasks = await submitted(book, item(1))
    assert await next_orders(book, "a", heartbeat_s=0.01) == Orders(), "told once, and gets no more work"
    tasks[0].cancel()
