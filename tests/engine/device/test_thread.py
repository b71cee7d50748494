from __future__ import annotations

import asyncio
import gc
import threading
import time
from functools import cached_property

import pytest
import torch

from deployments.engine.device.thread import DeviceThread, ModelReplica, assert_on_device_thread


def test_all_calls_run_on_one_thread_in_inference_mode_in_order(thread):
    seen = []

    def call(index):
        seen.append(index)
        return threading.get_ident(), torch.is_inference_mode_enabled(), torch.get_num_threads()

    callers = [threading.Thread(target=lambda i=i: thread.submit(call, i)) for i in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    results = {thread.submit(call, index).result(60) for index in range(100, 120)}
    assert results == {(thread.thread_id, True, 1)}
    assert sorted(seen[:16]) == list(range(16))
    assert seen[16:] == list(range(100, 120))


async def test_run_awaits_from_a_loop_without_blocking_it(thread):
    release = threading.Event()
    blocked = asyncio.ensure_future(thread.run(release.wait, 60))
    await asyncio.sleep(0)
    release.set()
    assert await blocked is True
    assert await thread.run(max, 3, 5) == 5


def test_an_exception_reaches_the_caller_and_the_thread_continues(thread):
    with pytest.raises(ZeroDivisionError):
        thread.submit(lambda: 1 / 0).result(60)
    assert thread.submit(lambda: 7).result(60) == 7


def test_an_ended_thread_leaves_the_mode_of_others_alone():
    """The frames of its calls outlive it in an error, and are collected on any thread."""
    thread = DeviceThread("short")
    failed = thread.submit(lambda: 1 / 0)
    assert isinstance(failed.exception(60), ZeroDivisionError)
    thread.close()
    with torch.inference_mode():
        del failed
        gc.collect()
        assert torch.is_inference_mode_enabled()


def test_the_heartbeat_reports_the_call_in_progress(thread):
    thread.submit(int).result(60)
    entered, release = threading.Event(), threading.Event()

    def hold():
        entered.set()
        release.wait(60)

    future = thread.submit(hold)
    assert entered.wait(60)
    first = thread.heartbeat()
    time.sleep(0.05)
    second = thread.heartbeat()
    release.set()
    future.result(60)
    assert first.alive
    assert first.busy_s is not None
    assert second.busy_s - first.busy_s >= 0.04
    assert second.idle_s > first.idle_s


def test_a_closed_thread_refuses_new_work_and_cancels_waiting_work():
    device_thread = DeviceThread("closing")
    device_thread.submit(int).result(60)
    entered, release = threading.Event(), threading.Event()
    running = device_thread.submit(lambda: (entered.set(), release.wait(60)))
    assert entered.wait(60)
    queued = device_thread.submit(int)
    device_thread.close(timeout=0)
    with pytest.raises(RuntimeError, match="closed"):
        device_thread.submit(int)
    release.set()
    device_thread.close(timeout=60)
    assert running.done()
    assert queued.cancelled()
    assert not device_thread.heartbeat().alive


def test_only_the_owning_thread_passes_the_check(thread):
    with pytest.raises(RuntimeError, match="not a device thread"):
        assert_on_device_thread()
    owner = thread.submit(assert_on_device_thread).result(60)
    assert owner == thread.thread_id
    other = DeviceThread("other")
    with pytest.raises(RuntimeError, match="another device thread"):
        other.submit(assert_on_device_thread, owner).result(60)
    other.close()


def test_async_methods_and_private_helpers_are_a_model_replica():
    class Mixin:
        async def check_health(self): ...

    class Replica(Mixin, ModelReplica):
        limit = 3

        def __init__(self):
            self.ready = True

        async def __call__(self): ...

        async def stream(self):
            yield 1

        def _helper(self): ...

    assert Replica().ready


def _sync(self): ...


class _SyncMixin:
    def status(self): ...


@pytest.mark.parametrize(
    ("bases", "body"),
    [
        ((ModelReplica,), {"synthesize": _sync}),
        ((ModelReplica,), {"__call__": _sync}),
        ((ModelReplica,), {"size": property(_sync)}),
        ((ModelReplica,), {"size": cached_property(_sync)}),
        ((ModelReplica,), {"make": staticmethod(_sync)}),
        ((ModelReplica,), {"make": classmethod(_sync)}),
        ((ModelReplica,), {"shortcut": lambda self: 1}),
        ((_SyncMixin, ModelReplica), {}),
    ],
)
def test_a_model_replica_with_a_sync_method_cannot_be_defined(bases, body):
    with pytest.raises(TypeError, match="Replica"):
        type("Replica", bases, body)


def test_a_subclass_of_a_replica_is_checked_too():
    class Replica(ModelReplica):
        async def run(self): ...

    with pytest.raises(TypeError, match="run"):
        type("Slow", (Replica,), {"run": _sync})
