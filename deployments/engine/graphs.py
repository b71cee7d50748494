"""CUDA graphs by shape, captured at start and replayed on one thread; the plain path where they cannot run."""

import logging
import os
import time
from collections.abc import Callable, Hashable
from typing import Any, Protocol

import torch
from torch import Tensor

from deployments.contract.device import Device
from deployments.engine.device.thread import assert_on_device_thread

log = logging.getLogger(__name__)
Tensors = dict[str, Tensor]
Function = Callable[[Tensors], Any]
_WARM_UPS = 3  # kernels choose and libraries allocate on their first calls, which no graph may hold


class Backend(Protocol):
    """How a function over static tensors is recorded."""

    def warm_up(self, function: Callable[[], Any]) -> None: ...

    def capture(self, function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """Returns replay, and the static outputs that each replay fills."""
        ...


class CudaGraphs:
    """torch.cuda.CUDAGraph with one memory pool for all graphs of a runner, which never run at the same time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)

    def warm_up(self, function: Callable[[], Any]) -> None:
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UPS):
                function()
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        torch.cuda.synchronize(self._device)

    def capture(self, function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        graph = torch.cuda.CUDAGraph()
        # other threads (pinned copies, a second replica in the process) may use CUDA meanwhile
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            outputs = function()
        torch.cuda.synchronize(self._device)
        return graph.replay, outputs


class GraphRunner:
    """Calls functions of static shape by key: a replay where the key was captured, else the function itself.

    `call` never captures, so no request waits for a capture. Its outputs are valid until the next call of any key,
    because graphs share their memory. Only the device thread that made the runner may use it (RuntimeError). Without
    graphs: optimize=False, TORCH_CUDAGRAPH_DISABLE=1, another device than CUDA, and after a capture that fails.
    """

    def __init__(
        self, device: Device, name: str = "graphs", optimize: bool = True, backend: Backend | None = None
    ) -> None:
        self._owner = assert_on_device_thread()
        self._device = device.torch_device
        if device.kind == "cuda":
            torch.cuda.set_device(self._device)  # of this thread: replays and events go to its current stream
        self._name = name
        self._captured: dict[Hashable, tuple[Tensors, Callable[[], None], Any]] = {}
        self._plain: set[Hashable] = set()
        self._backend = backend
        self.reason = self._why_plain(device, optimize, backend)
        self.optimize = not self.reason
        self.replays = 0  # so far
        if self.optimize and backend is None:
            self._backend = CudaGraphs(self._device)
        log.info("%s: %s", name, self.reason or "CUDA graphs on")

    @staticmethod
    def _why_plain(device: Device, optimize: bool, backend: Backend | None) -> str:
        if not optimize:
            return "plain: optimize is false in the configuration"
        if os.environ.get("TORCH_CUDAGRAPH_DISABLE", "").strip() == "1":
            return "plain: TORCH_CUDAGRAPH_DISABLE=1"
        if backend is None and device.kind != "cuda":
            return f"plain: no CUDA graphs on {device.kind}"
        return ""

    def status(self) -> dict[str, Any]:
        return {
            "optimize": self.optimize,
            "reason": self.reason or "CUDA graphs on",
            "captured": [str(key) for key in self._captured],
            "thread_id": self._owner,
        }

    def call(self, key: Hashable, function: Function, inputs: Tensors) -> Any:
        """`function(inputs)`, inputs being host or device tensors of the shapes that `key` stands for."""
        assert_on_device_thread(self._owner)
        if key not in self._captured:
            if self.optimize and key not in self._plain:
                self._plain.add(key)
                log.warning("%s: %s was not captured at start; it runs without a graph", self._name, key)
            return function(
                {name: value.to(self._device, non_blocking=True) for name, value in inputs.items()}
            )
        static, replay, outputs = self._captured[key]
        for name, value in inputs.items():
            static[name].copy_(value, non_blocking=True)
        replay()
        self.replays += 1
        return outputs

    def capture_and_call(self, key: Hashable, function: Function, inputs: Tensors) -> Any:
        """At start-up: `call`, after a capture if the key is new."""
        if key not in self._captured:
            self.capture(key, function, inputs)
        return self.call(key, function, inputs)

    def capture(self, key: Hashable, function: Function, inputs: Tensors) -> None:
        """At start-up: records `function` for `key`, after running it a few times on `inputs`.

        On the plain path it runs once, as a warm-up. If the capture fails, `reason` says why.
        """
        assert_on_device_thread(self._owner)
        if not self.optimize:
            self.call(key, function, inputs)
            return
        assert self._backend is not None
        began = time.perf_counter()
        static = {name: value.to(self._device, copy=True) for name, value in inputs.items()}
        try:
            self._backend.warm_up(lambda: function(static))
            replay, outputs = self._backend.capture(lambda: function(static))
        except Exception as error:  # of the driver, a kernel or an allocation
            self.optimize = False
            why = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            self.reason = f"plain: capture of {key} failed ({why})"
            self._captured.clear()
            log.warning("%s: %s", self._name, self.reason, exc_info=True)
            return
        self._captured[key] = (static, replay, outputs)
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in static.items())
        log.info("%s: captured %s (%s) in %.3f s", self._name, key, shapes, time.perf_counter() - began)


def doublings(first: int, most: int) -> list[int]:
    """first, 2 first, 4 first … and `most` itself."""
    sizes = []
    while first < most:
        sizes.append(first)
        first *= 2
    return [*sizes, most]
