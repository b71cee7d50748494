"""One thread per replica imports, loads, warms up, captures and replays. Nothing else touches the device.

torch is imported by that thread, on first use, so this module costs nothing where no model runs.
"""

import asyncio
import contextlib
import inspect
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

R = TypeVar("R")
_TURN_S = 1.0  # an idle loop turns this often, so that its heartbeat is fresh
_local = threading.local()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """idle_s: since the loop last turned; busy_s: how long the call in progress runs, None between calls."""

    idle_s: float
    busy_s: float | None
    alive: bool


class DeviceThread:
    """Runs calls in order, on one thread, in inference mode. threads: torch's CPU threads; None: torch's choice."""

    def __init__(self, name: str, threads: int | None = None) -> None:
        self._threads = threads
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._turned = time.monotonic()
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    @property
    def thread_id(self) -> int:
        ident = self._thread.ident
        assert ident is not None
        return ident

    def submit(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> Future[R]:
        """Raises RuntimeError when the thread is closed."""
        future: Future[R] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError(f"device thread {self._thread.name} is closed")
            self._calls.put((future, lambda: function(*args, **kwargs)))
        return future

    async def run(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        return await asyncio.wrap_future(self.submit(function, *args, **kwargs))

    def heartbeat(self) -> Heartbeat:
        now, busy = time.monotonic(), self._busy_since
        return Heartbeat(now - self._turned, None if busy is None else now - busy, self._thread.is_alive())

    def close(self, timeout: float = 5.0) -> None:
        """Refuses new calls, cancels those not begun, and waits for the one in progress."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._calls.put(None)
        if threading.get_ident() != self._thread.ident:
            self._thread.join(timeout)

    def _loop(self) -> None:
        _local.device_thread = True
        with contextlib.ExitStack() as modes:
            self._serve(modes)

    def _serve(self, modes: contextlib.ExitStack) -> None:
        inference = False
        while True:
            self._turned = time.monotonic()
            try:
                call = self._calls.get(timeout=_TURN_S)
            except queue.Empty:
                continue
            if call is None:
                break
            future, function = call
            if self._closed or not future.set_running_or_notify_cancel():
                future.cancel()
                continue
            self._busy_since = time.monotonic()
            try:
                if not inference:
                    self._enter_inference(modes)
                    inference = True
                future.set_result(function())
            except BaseException as error:  # the caller's future carries it; the thread lives on
                future.set_exception(error)
            finally:
                self._busy_since = None
                del future, function, call  # a finished call keeps no tensor alive

    def _enter_inference(self, modes: contextlib.ExitStack) -> None:
        """This thread must leave the mode itself. Collected as garbage, it ends the mode of the collecting thread.

        A call's error refers to the frames of this thread, so they outlive it.
        """
        import torch

        if self._threads is not None:
            torch.set_num_threads(self._threads)
        modes.enter_context(torch.inference_mode())


def assert_on_device_thread(owner: int | None = None) -> int:
    """The id of the running device thread. Raises RuntimeError on other threads, and on one that is not `owner`."""
    ident = threading.get_ident()
    if not getattr(_local, "device_thread", False):
        name = threading.current_thread().name
        raise RuntimeError(f"thread {name} is not a device thread: use DeviceThread.run")
    if owner is not None and ident != owner:
        raise RuntimeError("this model belongs to another device thread")
    return ident


class ModelReplica:
    """Base of every class that holds a model behind a deployment handle: its public methods are all async.

    A synchronous method runs on a new thread at each call, where CUDA graphs crash, and outlives its caller.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in dir(cls):
            if name.startswith("_") and name != "__call__":
                continue
            attribute = inspect.getattr_static(cls, name)
            if isinstance(attribute, property | cached_property):
                raise TypeError(f"{cls.__name__}.{name}: a property of a model replica is read on any thread")
            if isinstance(attribute, staticmethod | classmethod):
                attribute = attribute.__func__
            is_async = inspect.iscoroutinefunction(attribute) or inspect.isasyncgenfunction(attribute)
            if callable(attribute) and not is_async:
                raise TypeError(
                    f"{cls.__name__}.{name} must be async: a sync method leaves the device thread"
                )
