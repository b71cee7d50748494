from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from deployments.contract.errors import InvalidInput, Overloaded, SynthesisFailed
from deployments.contract.speech import Run, VocodedChunk
from deployments.contract.work import Event, WorkItem
from deployments.leases.ledger import Ledger
from deployments.leases.long_stream import More, bounded
from deployments.leases.records import Orders
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


async def test_later_segments_keep_no_newcomer_out():
    book = ledger(max_queue=2)
    later = [asyncio.create_task(collect(book, item(n, priority=1), admitted=True)) for n in range(20)]
    tasks = await submitted(book, item(30), item(31))
    assert (book.pending, book.newcomers) == (22, 2)
    (refused,) = await collect(book, item(32))
    assert isinstance(refused.error, Overloaded)
    assert "2 requests are waiting" in refused.error.message
    for task in (*tasks, *later):
        task.cancel()


async def test_a_newcomer_makes_room_for_the_next_when_it_has_a_slot_or_leaves():
    book = ledger(max_queue=2)
    tasks = await submitted(book, item(1), item(2))
    tasks[0].cancel()
    await asyncio.sleep(0)
    assert book.newcomers == 1
    book.open_lease("a")
    assert len((await next_orders(book, "a")).items) == 1
    assert book.newcomers == 0
    for task in tasks:
        task.cancel()


async def test_waiting_for_a_first_slot_ends_with_a_refusal():
    book = ledger(max_wait_s=0.05)
    book.open_lease("a")
    begun, *waiting = await submitted(book, *(item(n) for n in range(3)))
    assert len((await next_orders(book, "a", slots=1)).items) == 1
    refused = [(await task)[-1].error for task in waiting]
    assert all(isinstance(error, Overloaded) and "0.05 s" in error.message for error in refused)
    assert (book.pending, book.in_flight, book.counts["refused"]) == (0, 1, 2)
    book.deliver("a", events_of(item(0), 0, 30, done=True))
    assert (codes(await begun) == expected(0, 30)).all(), "what has begun is finished, however long it takes"


async def with_busy_slots(book: Ledger, *works: WorkItem, slots: int = 4) -> list[asyncio.Task]:
    book.open_lease("a")
    tasks = [asyncio.create_task(collect(book, work, admitted=work.priority > 0)) for work in works]
    await asyncio.sleep(0)
    assert len((await next_orders(book, "a", slots=slots)).items) == slots
    return tasks


async def test_a_first_segment_takes_the_slot_of_the_later_one_that_has_come_least_far():
    book = ledger(first_share=0.25)
    later = [item(n, priority=1) for n in range(4)]
    tasks = await with_busy_slots(book, *later)
    for n, told in enumerate((20, 8, 12, 16)):
        book.deliver("a", events_of(later[n], 0, told))
    first, second = item(10), item(11)
    tasks += await submitted(book, first)
    assert await next_orders(book, "a") == Orders(cancelled=("i1",), items=(first,))

    tasks += await submitted(book, second)  # a quarter of the slots is one
    assert await next_orders(book, "a", heartbeat_s=0.01) == Orders()
    book.deliver("a", events_of(later[1], 8, 14))  # was on its way: nobody holds it
    book.deliver("a", events_of(first, 0, 30, done=True))
    assert await next_orders(book, "a") == Orders(items=(second,)), "the share is free again"
    book.deliver("a", events_of(later[0], 20, 30, done=True))
    (resumed,) = (await next_orders(book, "a")).items
    assert resumed.id == "i1"
    assert (resumed.payload.prefix == expected(1, 8)).all()
    book.deliver("a", events_of(later[1], 8, 30, done=True))
    assert (codes(await tasks[1]) == expected(1, 30)).all()
    assert book.counts["interrupted"] == 1
    for task in tasks:
        task.cancel()


async def test_background_work_is_interrupted_before_a_listeners_next_segment():
    book = ledger(first_share=0.25)
    works = [item(0, priority=1), item(1, priority=11), item(2, priority=1), item(3, priority=1)]
    tasks = await with_busy_slots(book, *works)
    book.deliver("a", events_of(works[1], 0, 29))
    tasks += await submitted(book, item(10))
    assert (await next_orders(book, "a")).cancelled == ("i1",)
    for task in tasks:
        task.cancel()


@pytest.mark.parametrize(
    ("share", "slots", "priorities"),
    [(0.0, 4, (1, 1, 1, 1)), (0.25, 1, (1,)), (0.25, 4, (0, 1, 1, 1)), (0.25, 4, (0, 0, 0, 0))],
)
async def test_no_slot_is_taken(share, slots, priorities):
    """Where that is off, where there is one slot, and where first segments have their share already."""
    book = ledger(first_share=share)
    tasks = await with_busy_slots(book, *(item(n, priority=p) for n, p in enumerate(priorities)), slots=slots)
    tasks += await submitted(book, item(10))
    assert await next_orders(book, "a", slots=slots, heartbeat_s=0.01) == Orders()
    for task in tasks:
        task.cancel()


async def test_background_work_that_begins_interrupts_nobody():
    book = ledger(first_share=0.5)
    tasks = await with_busy_slots(book, *(item(n, priority=11) for n in range(4)))
    tasks += await submitted(book, item(10, priority=10))
    assert await next_orders(book, "a", heartbeat_s=0.01) == Orders()
    for task in tasks:
        task.cancel()


async def test_a_segment_is_interrupted_twice_at_most():
    book = ledger(slots=2, first_share=0.5, max_queue=50)
    later = [item(0, priority=1), item(1, priority=1)]
    tasks = await with_busy_slots(book, *later, slots=2)
    interrupted = []
    for n in range(10, 16):
        tasks += await submitted(book, item(n))
        orders = await next_orders(book, "a", slots=2, heartbeat_s=0.01)
        interrupted += orders.cancelled
        if orders.items:
            book.deliver("a", events_of(item(n), 0, 30, done=True))
            await next_orders(book, "a", slots=2, heartbeat_s=0.01)  # the interrupted one goes on
    assert sorted(interrupted) == ["i0", "i0", "i1", "i1"]
    for task in tasks:
        task.cancel()


async def test_nothing_is_missing_where_late_words_of_a_first_stay_meet_the_second():
    book = ledger(first_share=0.25)
    later = [item(n, priority=1) for n in range(4)]
    tasks = await with_busy_slots(book, *later)
    book.deliver("a", events_of(later[0], 0, 5))
    for n in (1, 2, 3):
        book.deliver("a", events_of(later[n], 0, 20))
    tasks += await submitted(book, item(10))
    assert (await next_orders(book, "a")).cancelled == ("i0",)
    late = [
        *events_of(later[0], 5, 15),  # dropped: nobody holds it
        *events_of(later[1], 20, 30, done=True),  # whose slot it gets
        *events_of(later[0], 15, 25),  # of the first stay, and not where the second goes on
        *events_of(later[0], 25, 30, done=True),
    ]
    book.deliver("a", late)
    (resumed,) = (await next_orders(book, "a")).items
    assert (resumed.payload.prefix == expected(0, 5)).all()
    book.deliver("a", events_of(later[0], 5, 30, done=True))
    assert (codes(await tasks[0]) == expected(0, 30)).all()
    for task in tasks:
        task.cancel()


async def test_the_end_of_an_interrupted_stay_ends_the_second_stay_too():
    book = ledger(first_share=0.25)
    later = [item(n, priority=1) for n in range(4)]
    tasks = await with_busy_slots(book, *later)
    first = item(10)
    tasks += await submitted(book, first)
    assert (await next_orders(book, "a")).cancelled == ("i0",)
    book.deliver("a", events_of(first, 0, 30, done=True))
    assert [work.id for work in (await next_orders(book, "a")).items] == ["i0"]
    book.deliver(
        "a", events_of(later[0], 0, 30, done=True)
    )  # sent before the replica heard of the interruption
    assert (codes(await tasks[0]) == expected(0, 30)).all()
    assert (await next_orders(book, "a")).cancelled == ("i0",), "its second stay decodes for nobody"
    for task in tasks:
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


async def test_a_stream_of_orders_that_is_opened_again_loses_nothing(monkeypatch):
    monkeypatch.setattr("deployments.leases.long_stream.ITEMS_PER_QUERY", 3)
    book, streams, seen = ledger(slots=1, max_queue=50), 0, []
    book.open_lease("a")
    works = [item(n) for n in range(10)]
    tasks = await submitted(book, *works)
    while len(seen) < 10:
        streams += 1
        async for orders in bounded(book.orders("a", 1)):
            if isinstance(orders, More):
                break
            seen += [work.id for work in orders.items]
            for work in orders.items:
                book.deliver("a", events_of(work, 0, 30, done=True))
    assert seen == [work.id for work in works] and streams == 4
    await asyncio.gather(*tasks)


async def test_a_value_that_cannot_be_sliced_is_delivered_once():
    book = ledger()
    book.open_lease("a")
    work = item(1)
    (task,) = await submitted(book, work)
    await next_orders(book, "a")
    chunk = VocodedChunk(np.zeros(320, np.float32), {})
    book.deliver("a", [Event(work.id, chunk)])
    book.deliver("a", [Event(work.id, chunk, done=True)])
    events = await task
    assert [event.value for event in events] == [chunk, None]


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
