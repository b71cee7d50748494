"""The schedulers of one process: order, interruption and failures as in the graph, for callers on any event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from deployments.contract.errors import SynthesisFailed
from deployments.contract.work import Event, StageWorker, WorkItem
from deployments.engine.device.thread import DeviceThread
from deployments.leases.in_process import InProcessScheduler
from tests.serve.sim_stage import SimWorker, expected, request

Start = Callable[[StageWorker], InProcessScheduler]


@pytest.fixture
def start() -> Iterator[Start]:
    thread, started = DeviceThread("device"), []

    def start(worker: StageWorker) -> InProcessScheduler:
        started.append(InProcessScheduler(thread, {"Sim": worker}, first_share=0.5, queued_per_slot=10))
        return started[-1]

    yield start
    thread.close()
    for scheduler in started:
        scheduler.close()  # also for the second time


async def said(scheduler: InProcessScheduler, seed: int, codes: int, priority: int = 0) -> np.ndarray:
    item = WorkItem(f"i{seed}", request(seed, codes), priority)
    runs = [event.value.codes async for event in scheduler.events("Sim", item, admitted=priority > 0)]
    return np.concatenate(runs)


async def test_a_first_segment_takes_the_slot_of_a_later_one_which_then_continues(start: Start):
    scheduler = start(SimWorker(2, 0.001))
    later = [asyncio.create_task(said(scheduler, seed, 300, priority=1)) for seed in (1, 2)]
    while scheduler.status()["Sim"]["pending"] or scheduler.status()["Sim"]["active"] < 2:
        await asyncio.sleep(0.001)
    assert (await said(scheduler, 3, 20) == expected(3, 20)).all()
    assert not any(task.done() for task in later)
    for seed, codes in enumerate(await asyncio.gather(*later), 1):
        assert (codes == expected(seed, 300)).all()
    assert scheduler.status()["Sim"]["interrupted"] == 1


def test_callers_may_be_on_many_event_loops_at_once(start: Start):
    scheduler = start(SimWorker(4, 0.001))
    found: dict[int, np.ndarray] = {}

    def call(seed: int) -> None:
        found[seed] = asyncio.run(said(scheduler, seed, 50))

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((found[seed] == expected(seed, 50)).all() for seed in range(8))


class Poisoned(SimWorker):
    """A step raises while the item i1 is active."""

    def step(self) -> list[Event]:
        if "i1" in self._rows:
            raise RuntimeError("device lost")
        return super().step()


async def test_an_item_that_breaks_every_step_fails_and_the_others_do_not(start: Start):
    scheduler = start(Poisoned(4, 0.001))
    bad, good = await asyncio.gather(said(scheduler, 1, 50), said(scheduler, 2, 50), return_exceptions=True)
    assert isinstance(bad, SynthesisFailed)
    assert isinstance(good, np.ndarray) and (good == expected(2, 50)).all()
    assert (await said(scheduler, 3, 50) == expected(3, 50)).all()


async def test_cancelled_work_ends_with_an_error_and_left_work_frees_its_slot(start: Start):
    worker = SimWorker(2, 0.001)
    scheduler = start(worker)
    waiting = asyncio.create_task(said(scheduler, 1, 10**9))
    await asyncio.sleep(0)
    scheduler.cancel("i1")
    with pytest.raises(SynthesisFailed, match="cancelled"):
        await waiting
    left = scheduler.events("Sim", WorkItem("i2", request(2, 10**9)), admitted=False)
    await anext(left)
    await left.aclose()
    while worker.active:
        await asyncio.sleep(0.001)


async def test_closing_ends_all_work(start: Start):
    scheduler = start(SimWorker(2, 0.001))
    waiting = asyncio.create_task(said(scheduler, 1, 10**9))
    while not scheduler.status()["Sim"]["active"]:
        await asyncio.sleep(0.001)
    await asyncio.to_thread(scheduler.close)
    with pytest.raises(SynthesisFailed):
        await waiting
