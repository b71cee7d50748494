"""The text stage: text to segments of token ids. Needs no torch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ray.serve.handle import DeploymentHandle

from deployments import assembly
from deployments.contract.errors import ChoraleError
from deployments.contract.family import FamilySpec
from deployments.contract.options import ModelOptions
from deployments.contract.speech import Segment
from deployments.engine.device import memory


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What the service needs to know of a model. version: of the configuration that it was made from."""

    version: str
    options: ModelOptions
    spec: FamilySpec


class TextFrontend:
    """version: see `ModelDescription`. The other stages are bound to this one so that all are one application."""

    def __init__(self, options: ModelOptions, version: str = "", *others: DeploymentHandle) -> None:
        family = assembly.load_family(options)
        self._described = ModelDescription(version, options, assembly.spec_of(options, family))
        self._frontend = family.frontend()
        self._thread = ThreadPoolExecutor(
            1, "frontend"
        )  # off the event loop, so that the health check is answered
        self._calls = 0

    async def describe(self) -> ModelDescription:
        return self._described

    async def segments(self, text: str, language: str | None = None) -> list[Segment] | ChoraleError:
        """An invalid text's error comes as a value: it is the caller's mistake and not this replica's."""
        return await self._call(self._frontend.segments, text, language)

    async def check(self, text: str, language: str | None = None) -> ChoraleError | None:
        """What is wrong with a long text, as `Frontend.check` tells it."""
        return await self._call(self._frontend.check, text, language)

    async def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        self._calls += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, method, *arguments)
        except ChoraleError as error:
            return error

    async def status(self) -> dict[str, Any]:
        return {
            "ready": True,
            "pid": os.getpid(),
            "calls": self._calls,
            "memory": await asyncio.to_thread(memory.usage),
        }

    async def free(self) -> dict[str, Any]:
        """Gives back memory that is not used (see `memory.free`)."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, memory.free)
