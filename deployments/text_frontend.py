"""The text stage: text to segments of token ids. Needs no torch, unless the family's frontend has a model."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments import assembly, logs, placement
from deployments.contract.controls import Value
from deployments.contract.errors import ChoraleError
from deployments.contract.family import FamilySpec, Frontend, read_segments
from deployments.contract.options import ModelOptions
from deployments.contract.speech import Segment
from deployments.engine.device import memory
from deployments.engine.device.thread import DeviceThread

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What the service needs to know about a model.

    version: of the configuration that it was built from; weights: see `assembly.weights_digest`.
    """

    version: str
    options: ModelOptions
    spec: FamilySpec
    weights: str


class TextFrontend:
    """All calls run on one thread, off the event loop, so that the health check is answered.

    version: see `ModelDescription`. others: the model's other stages, bound so that all are one application.
    """

    def __init__(self, options: ModelOptions, version: str = "", *others: DeploymentHandle) -> None:
        logs.join_serve()
        family = assembly.load_family(options)
        self._model = ModelDescription(version, options, family.spec, assembly.weights_digest(family.folder))
        self._calls, self._described = 0, {}
        if not family.spec.frontend_device:
            self._thread: Executor | DeviceThread = ThreadPoolExecutor(1, "frontend")
            self._frontend = family.frontend(None)
            return

        def load() -> tuple[Frontend, dict[str, Any]]:
            device = placement.device(options, "text_frontend", family.spec)
            return family.frontend(device), {"device": device.describe()}

        self._thread = DeviceThread("frontend", assembly.threads(options, "text_frontend"))
        self._frontend, self._described = self._thread.submit(load).result()

    async def describe(self) -> ModelDescription:
        return self._model

    async def segments(
        self, text: str, language: str | None = None, controls: Mapping[str, Value] | None = None
    ) -> list[Segment] | ChoraleError:
        """Returns the error for an invalid text as a value, because the replica has not failed."""
        log.debug("segments of %d characters", len(text))
        return await self._call(read_segments, self._frontend, text, language, controls)

    async def symbols(self, segments: list[Segment]) -> list[list[str]] | ChoraleError:
        """`Frontend.symbols` of each segment."""
        return await self._call(lambda: [self._frontend.symbols(segment) for segment in segments])

    async def check(self, text: str, language: str | None = None) -> ChoraleError | None:
        """The fault in a long text that `Frontend.check` finds, or None."""
        return await self._call(self._frontend.check, text, language)

    async def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        self._calls += 1
        try:
            return await asyncio.wrap_future(self._thread.submit(method, *arguments))
        except ChoraleError as error:
            return error

    async def status(self) -> dict[str, Any]:
        return {
            "ready": True,
            "pid": os.getpid(),
            "calls": self._calls,
            **self._described,
            "memory": await asyncio.to_thread(memory.usage),
        }

    async def free(self) -> dict[str, Any]:
        """Frees unused memory (see `memory.free`)."""
        return await asyncio.wrap_future(self._thread.submit(memory.free))
