from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import numpy as np
import pytest

from deployments.contract.errors import InvalidInput, Overloaded, SynthesisFailed
from deployments.contract.speech import Run, VocodedChunk
from deployments.contract.work import Event, WorkItem
from deployments.leases.admission import PRESSED_S
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


async def test_results_reach_the_listener_in_order():
    book = ledger()
    book.open_lease("a")
    work = item(1)
    (task,) = await submitted(book, work)
    assert (await next_orders(book, "a")).items == (work,)
    book.deliver("a", events_of(work, 0, 10))
    book.deliver("a", events_of(work, 10, 30, done=True))
    assert (codes(await task) == expected(1, 30)).all()
    assert book.in_flight == 0 and book.counts["completed"] == 1


async def test_work_of_a_lost_lease_resumes_after_what_was_delivered():
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
    book.deliver("a", events_of(work, 10, 20))  # late reports of a dead replica
    book.deliver("b", events_of(work, 5, 20))  # starts too early
    book.deliver("b", events_of(work, 5, 8))  # nothing new
    book.deliver("b", events_of(work, 20, 30, done=True))
    assert (codes(await task) == expected(1, 30)).all()
    assert book.counts["requeued"] == 1 and book.counts["deaths"] == 1


async def test_returned_work_precedes_waiting_work():
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


async def test_a_poison_item_fails_without_its_neighbours():
    book = ledger()
    poison, other = item(1), item(2)
    tasks = await submitted(book, poison, other)
    for death in range(2):
        book.open_lease(f"l{death}")
        assert len((await next_orders(book, f"l{death}")).items) == 2
        book.end_lease(f"l{death}", died=True)
    book.open_lease("x")
    (alone,) = (await next_orders(book, "x")).items  # the last try runs alone
    assert alone.id == poison.id
    assert await next_orders(book, "x", heartbeat_s=0.01) == Orders()
    book.end_lease("x", died=True)
    (failed,) = await tasks[0]
    assert isinstance(failed.error, SynthesisFailed)

    book.open_lease("y")
    (work,) = (await next_orders(book, "y")).items
    book.deliver("y", events_of(work, 0, 30, done=True))
    assert (codes(await tasks[1]) == expected(2, 30)).all()


async def test_a_full_queue_refuses_new_work_with_a_retry_time():
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


async def test_later_segments_do_not_keep_new_requests_out():
    book = ledger(max_queue=2)
    later = [asyncio.create_task(collect(book, item(n, priority=1), admitted=True)) for n in range(20)]
    tasks = await submitted(book, item(30), item(31))
    assert (book.pending, book.newcomers) == (22, 2)
    (refused,) = await collect(book, item(32))
    assert isinstance(refused.error, Overloaded)
    assert "2 requests are waiting" in refused.error.message
    for task in (*tasks, *later):
        task.cancel()


async def test_after_a_rejection_a_request_is_accepted_only_if_a_slot_is_free():
    now = [0.0]
    book = ledger(max_queue=2, clock=lambda: now[0])
    book.open_lease("a")
    tasks = await submitted(book, item(0))
    assert len((await next_orders(book, "a", slots=1)).items) == 1
    tasks += await submitted(book, item(1), item(2))
    (refused,) = await collect(book, item(3))
    assert "no slot is free and 2 requests are waiting" in refused.error.message
    for n in (1, 2):
        book.cancel(f"i{n}")
    (refused,) = await collect(book, item(4))
    assert isinstance(refused.error, Overloaded) and book.newcomers == 0
    book.deliver("a", events_of(item(0), 0, 30, done=True))
    await tasks[0]
    tasks += await submitted(book, item(5))
    assert [one.id for one in (await next_orders(book, "a", slots=1)).items] == ["i5"]
    now[0] += PRESSED_S + 0.1
    tasks += await submitted(book, item(6), item(7))
    assert book.newcomers == 2, "now a burst may wait again"
    for task in tasks:
        task.cancel()


async def test_a_burst_of_first_segments_takes_slots_that_no_other_work_gets():
    book = ledger(slots=4, burst_slots=3, max_queue=1, first_share=0.25)
    book.open_lease("a")
    later = [asyncio.create_task(collect(book, item(n, priority=1), admitted=True)) for n in range(5)]
    tasks = [*later, *await submitted(book, item(9, priority=10))]
    assert len((await next_orders(book, "a", slots=7)).items) == 4, "later segments and jobs leave them free"
    burst = [item(n) for n in range(10, 13)]
    tasks += await submitted(book, *burst)
    assert await next_orders(book, "a", slots=7) == Orders(items=tuple(burst)), "and none is interrupted"
    book.deliver("a", events_of(item(0), 0, 30, done=True))
    assert await next_orders(book, "a", slots=7, heartbeat_s=0.01) == Orders(), "six are at work"
    for task in tasks:
        task.cancel()


async def test_after_a_rejection_no_request_takes_a_slot_for_bursts():
    now = [0.0]
    book = ledger(slots=2, burst_slots=2, max_queue=1, clock=lambda: now[0])
    book.open_lease("a")
    assert await next_orders(book, "a", slots=4, heartbeat_s=0.01) == Orders()
    tasks = await submitted(book, *(item(n) for n in range(4)))
    assert len((await next_orders(book, "a", slots=4)).items) == 4
    tasks += await submitted(book, item(4))
    (refused,) = await collect(book, item(5))
    assert isinstance(refused.error, Overloaded)
    book.deliver("a", events_of(item(0), 0, 30, done=True))
    assert [one.id for one in (await next_orders(book, "a", slots=4)).items] == ["i4"], "it waited before"
    for n in (1, 2):
        book.deliver("a", events_of(item(n), 0, 30, done=True))
    (refused,) = await collect(book, item(6))
    assert isinstance(refused.error, Overloaded), "two are at work"
    book.deliver("a", events_of(item(3), 0, 30, done=True))
    tasks += await submitted(book, item(7))
    assert [one.id for one in (await next_orders(book, "a", slots=4)).items] == ["i7"]
    now[0] += PRESSED_S + 0.1
    tasks += await submitted(book, item(8), item(9))
    assert [one.id for one in (await next_orders(book, "a", slots=4)).items] == ["i8", "i9"]
    for task in tasks:
        task.cancel()


async def test_a_replica_with_a_single_slot_still_works():
    """A replica may have fewer slots than expected, while another configuration is being rolled out."""
    book = ledger(slots=4, burst_slots=3)
    book.open_lease("a")
    tasks = await submitted(book, item(0, priority=10), item(1))
    assert [one.id for one in (await next_orders(book, "a", slots=1)).items] == ["i1"]
    for task in tasks:
        task.cancel()


async def test_background_work_that_waited_too_long_is_no_overload():
    book = ledger(max_queue=2, max_wait_s=0.05)
    book.open_lease("a")
    begun, expired = await submitted(book, item(0, priority=10), item(1, priority=10))
    assert len((await next_orders(book, "a", slots=1)).items) == 1
    refused = (await expired)[-1].error
    assert isinstance(refused, Overloaded) and "0.05 s" in refused.message
    assert book.limit() == 2
    tasks = [begun, *await submitted(book, item(2), item(3))]
    assert book.newcomers == 2, "requests may wait as before"
    for task in tasks:
        task.cancel()


async def test_requests_wait_for_missing_replicas():
    book = ledger(max_queue=1, max_backlog=5, max_start_s=60.0, wanted=lambda: 2)
    book.open_lease("a")
    tasks = await submitted(book, item(0))
    assert len((await next_orders(book, "a", slots=1)).items) == 1
    tasks += await submitted(book, *(item(n) for n in range(1, 6)))
    assert book.newcomers == 5
    (refused,) = await collect(book, item(6))
    assert isinstance(refused.error, Overloaded)
    tasks += await submitted(book, item(7, priority=10))
    assert (book.newcomers, book.pending) == (5, 6), "background work is not counted"
    for task in tasks:
        task.cancel()


async def test_a_replica_that_stays_away_is_not_missed_forever():
    now = [0.0]
    book = ledger(max_queue=1, max_backlog=5, max_start_s=60.0, wanted=lambda: 2, clock=lambda: now[0])
    book.open_lease("a")
    tasks = await submitted(book, item(0), item(1))
    assert len((await next_orders(book, "a", slots=1)).items) == 1
    now[0] = 61.0
    tasks += await submitted(book, item(2))
    assert book.limit() == 4, "what has accumulated is worked off"
    book.deliver("a", events_of(item(0), 0, 30, done=True))
    assert book.limit() == 3
    for task in tasks:
        task.cancel()


async def test_a_newcomer_stops_counting_once_it_has_a_slot_or_leaves():
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
    assert (codes(await begun) == expected(0, 30)).all(), "started work finishes, however long it takes"


async def with_busy_slots(book: Ledger, *works: WorkItem, slots: int = 4) -> list[asyncio.Task]:
    book.open_lease("a")
    tasks = [asyncio.create_task(collect(book, work, admitted=work.priority > 0)) for work in works]
    await asyncio.sleep(0)
    assert len((await next_orders(book, "a", slots=slots)).items) == slots
    return tasks


async def test_a_first_segment_interrupts_the_later_segment_with_the_least_progress():
    book = ledger(first_share=0.25)
    later = [item(n, priority=1) for n in range(4)]
    tasks = await with_busy_slots(book, *later)
    for n, count in enumerate((20, 8, 12, 16)):
        book.deliver("a", events_of(later[n], 0, count))
    first, second = item(10), item(11)
    tasks += await submitted(book, first)
    assert await next_orders(book, "a") == Orders(cancelled=("i1",), items=(first,))

    tasks += await submitted(book, second)  # a quarter of the slots is one
    assert await next_orders(book, "a", heartbeat_s=0.01) == Orders()
    book.deliver("a", events_of(later[1], 8, 14))  # late: its lease no longer has it
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


async def test_background_work_is_interrupted_before_a_later_segment():
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
async def test_no_segment_is_interrupted(share, slots, priorities):
    """If interrupts are disabled, if there is one slot, and if first segments already have their share."""
    book = ledger(first_share=share)
    tasks = await with_busy_slots(book, *(item(n, priority=p) for n, p in enumerate(priorities)), slots=slots)
    tasks += await submitted(book, item(10))
    assert await next_orders(book, "a", slots=slots, heartbeat_s=0.01) == Orders()
    for task in tasks:
        task.cancel()


async def test_a_first_background_segment_interrupts_no_other():
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
            await next_orders(book, "a", slots=2, heartbeat_s=0.01)  # the interrupted one continues
    assert sorted(interrupted) == ["i0", "i0", "i1", "i1"]
    for task in tasks:
        task.cancel()


async def test_late_results_of_an_interrupted_segment_are_not_lost():
    book = ledger(first_share=0.25)
    later = [item(n, priority=1) for n in range(4)]
    tasks = await with_busy_slots(book, *later)
    book.deliver("a", events_of(later[0], 0, 5))
    for n in (1, 2, 3):
        book.deliver("a", events_of(later[n], 0, 20))
    tasks += await submitted(book, item(10))
    assert (await next_orders(book, "a")).cancelled == ("i0",)
    late = [
        *events_of(later[0], 5, 15),  # dropped: its lease no longer has it
        *events_of(later[1], 20, 30, done=True),  # whose slot it gets
        *events_of(later[0], 15, 25),  # from before the interrupt, at another position than the resumption
        *events_of(later[0], 25, 30, done=True),
    ]
    book.deliver("a", late)
    (resumed,) = (await next_orders(book, "a")).items
    assert (resumed.payload.prefix == expected(0, 5)).all()
    book.deliver("a", events_of(later[0], 5, 30, done=True))
    assert (codes(await tasks[0]) == expected(0, 30)).all()
    for task in tasks:
        task.cancel()


async def test_a_late_end_of_an_interrupted_segment_also_ends_its_resumption():
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
    assert (await next_orders(book, "a")).cancelled == ("i0",), "the resumed segment is still decoded"
    for task in tasks:
        task.cancel()


async def test_retry_after_follows_the_throughput():
    now = [0.0]
    book = ledger(max_queue=100, clock=lambda: now[0])
    book.open_lease("a")
    works = [item(n) for n in range(61)]
    tasks = await submitted(book, *works)
    for work in works[:20]:  # two per second; the next item is assigned at once
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


async def test_cancelling_ends_the_stream_and_notifies_the_replica():
    book = ledger()
    book.open_lease("a")
    waiting, working = item(1), item(2)
    tasks = await submitted(book, working, waiting)
    assert (await next_orders(book, "a", slots=1)).items == (working,)
    orders = asyncio.create_task(next_orders(book, "a", slots=1))
    await asyncio.sleep(0)
    assert book.cancel(working.id) and book.cancel(waiting.id)
    assert not book.cancel("unknown")
    assert await orders == Orders(cancelled=(working.id,)), "the other one has not been sent yet"
    assert await tasks[0] == [] and await tasks[1] == []
    assert book.pending == book.in_flight == 0


async def test_a_listener_that_leaves_cancels_its_work():
    book = ledger()
    book.open_lease("a")
    work = item(1)
    async with contextlib.aclosing(book.submit(work)) as events:
        orders = asyncio.create_task(next_orders(book, "a"))
        first = asyncio.create_task(anext(events))
        await orders
        book.deliver("a", events_of(work, 0, 10))
        await first
    assert book.in_flight == 0
    assert (await next_orders(book, "a")).cancelled == (work.id,)


async def test_work_goes_to_the_lease_with_the_least_work():
    book = ledger(slots=8, max_queue=50)
    for name in "ab":
        book.open_lease(name)
    orders = [asyncio.create_task(next_orders(book, name, slots=8)) for name in "ab"]
    await asyncio.sleep(0)
    works = [item(n) for n in range(8)]
    tasks = await submitted(book, *works)
    a, b = await asyncio.gather(*orders)
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


async def test_a_reopened_stream_of_orders_loses_nothing(monkeypatch):
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


async def test_an_unknown_lease_is_ordered_to_close():
    book = ledger()
    (task,) = await submitted(book, item(1))
    assert await next_orders(book, "nobody") == Orders(end=True)
    assert book.pending == 1
    task.cancel()


async def test_an_unwanted_lease_closes_while_idle():
    keep = [True]
    book = ledger(keep=lambda lease: keep[0])
    book.open_lease("a")
    orders = asyncio.create_task(next_orders(book, "a", heartbeat_s=30.0))
    await asyncio.sleep(0)
    keep[0] = False
    book.nudge()
    assert await orders == Orders(close=True)
    tasks = await submitted(book, item(1))
    assert await next_orders(book, "a", heartbeat_s=0.01) == Orders(), (
        "the order is sent once, and no work follows"
    )
    tasks[0].cancel()


async def test_an_item_goes_to_the_lease_that_did_the_last_one_of_its_home():
    book = ledger()
    for name in "abc":
        book.open_lease(name)
        await next_orders(book, name, slots=2, heartbeat_s=0.01)
    work = [replace(item(i, 4), home="here") for i in range(5)]
    (first,) = await submitted(book, work[0])
    home = next(name for name, lease in book.leases.items() if lease.held)
    book.deliver(home, events_of(work[0], 0, 4, done=True))
    await first

    tasks = await submitted(book, work[1])
    assert list(book.leases[home].held) == [work[1].id]
    tasks += await submitted(book, work[2])
    assert list(book.leases[home].held) == [work[1].id, work[2].id], "although the others hold nothing"
    tasks += await submitted(book, work[3])
    assert any(work[3].id in lease.held for lease in book.leases.values()), "a full home holds nothing up"
    book.end_lease(home, died=True)
    held = [name for name, lease in book.leases.items() for _ in lease.held]
    assert len(held) == 3, "nor one that is gone"
    for task in tasks:
        task.cancel()


async def test_while_no_replica_runs_requests_wait_until_one_has_started():
    book = ledger(slots=1, max_wait_s=0.05, max_start_s=30.0)
    first, second = await submitted(book, item(1), item(2))
    await asyncio.sleep(0.2)
    assert not first.done() and not second.done()
    book.open_lease("a")
    orders = await next_orders(book, "a", slots=1)
    assert [one.id for one in orders.items] == ["i1"]
    (event,) = await second  # slots exist now, and none was free in time
    assert isinstance(event.error, Overloaded)
    assert not first.done()
    first.cancel()


async def test_without_any_replica_a_request_is_rejected_in_the_end():
    book = ledger(max_wait_s=0.05, max_start_s=0.2)
    began = asyncio.get_running_loop().time()
    (event,) = await (await submitted(book, item(1)))[0]
    assert isinstance(event.error, Overloaded)
    assert asyncio.get_running_loop().time() - began >= 0.19
    assert book.counts["refused"] == 1
