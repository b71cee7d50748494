from __future__ import annotations

import asyncio
import contextlib
import threading

import numpy as np
import pytest

from deployments.contract.errors import SynthesisFailed
from deployments.contract.work import Event, WorkItem
from deployments.engine.device.thread import DeviceThread
from deployments.leases.device_loop import DeviceLoop
from deployments.leases.ledger import Ledger
from deployments.leases.loop import LeaseLoop
from deployments.leases.records import Orders
from tests.serve.sim_stage import SimWorker, expected, request


@pytest.fixture
def thread():
    device = DeviceThread("device")
    yield device
    device.close()


@pytest.fixture
def device(thread):
    return DeviceLoop(thread)


class Hold:
    """Delivers a lease's reports to the ledger, like the scheduler."""

    def __init__(self, book: Ledger, loop: LeaseLoop, name: str = "a") -> None:
        book.open_lease(name)
        self.statuses: list[dict] = []
        self.freed: list[dict] = []
        self.task = asyncio.create_task(self._run(book, loop, name))

    async def _run(self, book: Ledger, loop: LeaseLoop, name: str) -> None:
        async for report in loop.run(book, name):
            book.deliver(name, list(report.events))
            if report.status is not None:
                self.statuses.append(report.status)
            if report.freed is not None:
                self.freed.append(report.freed)


async def listen(book: Ledger, seed: int, codes: int) -> np.ndarray:
    runs = []
    async for event in book.submit(WorkItem(f"i{seed}", request(seed, codes)), admitted=True):
        if event.error is not None:
            raise event.error
        runs.append(event.value.codes)
    return np.concatenate(runs) if runs else np.zeros(0, np.int64)


async def until(condition, timeout: float = 20.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


async def test_more_items_than_slots_share_the_device(device):
    keep = [True]
    book = Ledger("Sim", 4, 100, keep=lambda lease: keep[0])
    worker = SimWorker(4, step_s=0.001)
    hold = Hold(book, LeaseLoop(worker, device, lambda: {"slots": worker.slots}))
    results = await asyncio.gather(*(listen(book, seed, 20 + seed) for seed in range(12)))
    for seed, result in enumerate(results):
        assert (result == expected(seed, 20 + seed)).all()
    assert worker.steps < sum(20 + seed for seed in range(12)) / 2, "they were decoded one after another"
    assert hold.statuses[0] == {"slots": 4}
    keep[0] = False
    book.nudge()
    await asyncio.wait_for(hold.task, 20)


async def test_a_replica_knows_the_demand_while_it_has_a_lease(device):
    keep = [True]
    book = Ledger("Sim", 4, 100, keep=lambda lease: keep[0])
    loop = LeaseLoop(SimWorker(4, step_s=0.001), device)
    assert loop.demand == 0.0
    book.demand = 2.5
    hold = Hold(book, loop)
    await listen(book, 1, 20)
    assert loop.demand == 2.5
    keep[0] = False
    book.nudge()
    await asyncio.wait_for(hold.task, 20)
    assert loop.demand == 0.0


async def test_closing_lets_the_active_ones_finish(device):
    keep = [True]
    book = Ledger("Sim", 4, 100, keep=lambda lease: keep[0])
    hold = Hold(book, LeaseLoop(SimWorker(4, 0.001), device))
    listener = asyncio.create_task(listen(book, 1, 200))
    await until(lambda: book.in_flight and not book.pending)
    keep[0] = False
    book.nudge()
    assert (await listener == expected(1, 200)).all()
    await asyncio.wait_for(hold.task, 20)


async def test_a_cancelled_item_frees_its_slot_while_the_others_go_on(device):
    book = Ledger("Sim", 2, 100)
    worker = SimWorker(2, 0.001)
    hold = Hold(book, LeaseLoop(worker, device))
    endless = asyncio.create_task(listen(book, 1, 10**9))
    other = asyncio.create_task(listen(book, 2, 10**9))
    await until(lambda: worker.active == 2)
    third = asyncio.create_task(listen(book, 3, 50))
    endless.cancel()
    assert (await third == expected(3, 50)).all()
    assert not other.done()
    other.cancel()
    await until(lambda: worker.active == 0)
    hold.task.cancel()


async def test_an_abandoned_lease_frees_every_slot(device):
    book = Ledger("Sim", 4, 100)
    worker = SimWorker(4, 0.001)
    hold = Hold(book, LeaseLoop(worker, device))
    listeners = [asyncio.create_task(listen(book, seed, 10**9)) for seed in range(4)]
    await until(lambda: worker.active == 4)
    hold.task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await hold.task
    await until(lambda: worker.active == 0)
    for listener in listeners:
        listener.cancel()


class Orphaning:
    """A scheduler that answers until it dies."""

    def __init__(self, book: Ledger) -> None:
        self.book, self.gone = book, asyncio.Event()

    async def orders(self, lease_id, slots):
        async with contextlib.aclosing(self.book.orders(lease_id, slots)) as stream:
            while True:
                yield await self._or_gone(anext(stream))

    async def _or_gone(self, call):
        call, gone = asyncio.ensure_future(call), asyncio.ensure_future(self.gone.wait())
        await asyncio.wait({call, gone}, return_when=asyncio.FIRST_COMPLETED)
        if self.gone.is_set():
            call.cancel()
            raise ConnectionError("gone")
        gone.cancel()
        return call.result()


@pytest.mark.parametrize("items", [0, 2, 4])  # idle, at work, and full
async def test_an_orphaned_lease_ends_at_once(device, items):
    book = Ledger("Sim", 4, 100)
    worker = SimWorker(4, 0.001)
    source = Orphaning(book)
    book.open_lease("a")

    async def hold():
        async for report in LeaseLoop(worker, device).run(source, "a"):
            book.deliver("a", list(report.events))

    lease = asyncio.create_task(hold())
    listeners = [asyncio.create_task(listen(book, seed, 10**9)) for seed in range(items)]
    await until(lambda: worker.active == items)
    source.gone.set()
    await asyncio.wait_for(lease, 10)
    await until(lambda: worker.active == 0)
    for listener in listeners:
        listener.cancel()


async def test_an_id_can_be_reused_after_cancellation(device):
    book = Ledger("Sim", 4, 100)
    worker = SimWorker(4, 0.001)
    hold = Hold(book, LeaseLoop(worker, device))
    for _ in range(3):
        listener = asyncio.create_task(listen(book, 1, 10**9))
        await until(lambda: worker.active == 1)
        listener.cancel()
        await until(lambda: worker.active == 0)
    assert (await listen(book, 1, 20) == expected(1, 20)).all()
    hold.task.cancel()


class Broken(SimWorker):
    def step(self) -> list[Event]:
        raise RuntimeError("device lost")


class Refusing(SimWorker):
    def admit(self, item: WorkItem) -> None:
        if item.id == "i1":
            raise ValueError("shape")
        super().admit(item)


async def test_a_failed_step_ends_the_lease_and_stops_new_work(device):
    book = Ledger("Sim", 4, 100)
    loop = LeaseLoop(Broken(4), device)
    hold = Hold(book, loop)
    listener = asyncio.create_task(listen(book, 1, 10))
    with pytest.raises(RuntimeError, match="device lost"):
        await asyncio.wait_for(hold.task, 20)
    assert str(loop.failed) == "device lost"
    book.end_lease("a", died=True)
    again = Hold(book, loop, "b")
    await asyncio.sleep(0.05)
    assert not again.task.done() and book.pending == 1
    again.task.cancel()
    listener.cancel()


async def test_an_item_that_cannot_be_admitted_fails_alone(device):
    book = Ledger("Sim", 4, 100)
    hold = Hold(book, LeaseLoop(Refusing(4, 0.001), device))
    bad, good = await asyncio.gather(listen(book, 1, 20), listen(book, 2, 20), return_exceptions=True)
    assert isinstance(bad, SynthesisFailed)
    assert (good == expected(2, 20)).all()
    hold.task.cancel()


async def test_an_order_to_free_memory_runs_between_two_steps(thread, device):
    book = Ledger("Sim", 4, 100)
    seen: list[tuple[int, int]] = []  # thread, active items
    worker = SimWorker(4, 0.001)

    def free() -> dict:
        seen.append((threading.get_ident(), worker.active))
        return {"pid": 7}

    loop = LeaseLoop(worker, device, free=free)
    hold = Hold(book, loop)
    listener = asyncio.create_task(listen(book, 1, 400))
    await until(lambda: worker.active == 1)
    book.order_free("a")
    book.order_free("unknown")
    await until(lambda: hold.freed)
    assert (await listener == expected(1, 400)).all()
    assert seen == [(thread.thread_id, 1)] and hold.freed == [{"pid": 7}]
    hold.task.cancel()


async def test_a_replica_idle_for_a_whole_lease_frees_memory_once(device):
    freed: list[int] = []
    loop = LeaseLoop(SimWorker(4, 0.001), device, free=lambda: freed.append(1) or {})

    async def lease(name: str, codes: int) -> None:
        keep = [True]
        book = Ledger("Sim", 4, 100, keep=lambda lease: keep[0])
        hold = Hold(book, loop, name)
        if codes:
            await listen(book, 1, codes)
        keep[0] = False
        book.nudge()
        await asyncio.wait_for(hold.task, 20)

    await lease("never used", 0)
    assert not freed
    await lease("used", 20)
    assert not freed, "another lease may follow at once"
    await lease("idle", 0)
    assert len(freed) == 1
    await lease("idle still", 0)
    assert len(freed) == 1
    await lease("used again", 20)
    await lease("idle again", 0)
    assert len(freed) == 2


async def test_two_workers_on_one_device_thread_alternate(device):
    steps: list[str] = []

    class Counted(SimWorker):
        def __init__(self, name: str) -> None:
            super().__init__(4, 0.001)
            self.name = name

        def step(self) -> list[Event]:
            steps.append(self.name)
            return super().step()

    books = {name: Ledger(name, 4, 100) for name in ("a", "b")}
    holds = [Hold(book, LeaseLoop(Counted(name), device)) for name, book in books.items()]
    a, b = await asyncio.gather(listen(books["a"], 1, 200), listen(books["b"], 2, 100))
    assert (a == expected(1, 200)).all() and (b == expected(2, 100)).all()
    turns = "".join(steps)
    assert "ab" * 50 in turns or "ba" * 50 in turns
    for hold in holds:
        hold.task.cancel()


async def test_a_failed_worker_does_not_affect_the_other(device):
    book, other = Ledger("Sim", 4, 100), Ledger("Other", 4, 100)
    broken = Hold(book, LeaseLoop(Broken(4), device))
    hold = Hold(other, LeaseLoop(SimWorker(4, 0.001), device))
    listener = asyncio.create_task(listen(book, 1, 10))
    assert (await listen(other, 2, 100) == expected(2, 100)).all()
    with pytest.raises(RuntimeError, match="device lost"):
        await asyncio.wait_for(broken.task, 20)
    listener.cancel()
    hold.task.cancel()


async def test_an_abandoned_session_ends_when_the_next_one_starts(device):
    """An event loop that was closed says nothing any more."""
    worker = SimWorker(4, 0.001)
    left = device.open(worker, lambda events: None)
    device.obey(left, Orders(items=(WorkItem("left", request(1, 10**9)),)))
    await until(lambda: worker.active == 1)
    book = Ledger("Sim", 4, 100)
    hold = Hold(book, LeaseLoop(worker, device))
    assert (await listen(book, 2, 50) == expected(2, 50)).all()
    assert left.ended and worker.active == 0
    hold.task.cancel()
