"""The text stage: text to segments of token ids. Needs no torch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deployments import assembly
from deployments.contract.errors import ChoraleError
from deployments.contract.options import ModelOptions
from deployments.contract.speech import Segment
from deployments.engine.device import memory


class TextFrontend:
    def __init__(self, options: ModelOptions) -> None:
        self._frontend = assembly.load_family(options).frontend()
        self._thread = ThreadPoolExecutor(1, "frontend")  # keeps the event loop free for health checks
        self._calls = 0

    async def segments(self, text: str, language: str | None = None) -> list[Segment] | ChoraleError:
        """Returns the error for an invalid text as a value, because the replica has not failed."""
        return await self._call(self._frontend.segments, text, language)

    async def check(self, text: str, language: str | None = None) -> ChoraleError | None:
        """The fault in a long text that `Frontend.check` finds, or None."""
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
        """Frees unused memory (see `memory.free`)."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, memory.free)
