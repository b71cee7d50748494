"""The interface between synthesis and the stages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from deployments.contract import speech
from deployments.contract.controls import Value
from deployments.contract.family import FamilySpec


class Processes(Protocol):
    """Processes that hold voice prompts and other memory."""

    async def forget(self, voice: str) -> None:
        """Drops the prompts of a voice, by its id, in every process and on disk. Never raises.

        Does not wait for a process that is busy for more than a few seconds; that process drops them later.
        """

    async def free(self) -> list[dict[str, Any]]:
        """Frees unused memory in every process and reports it.

        Each process: {"stage": str, "pid": int, "before": {...}, "after": {...}}, as from the engine's `memory.free`.
        """
        ...


class Backend(Processes, Protocol):
    """The stages of one model, on Ray or in this process. Every method raises only `ChoraleError`s."""

    spec: FamilySpec

    async def segments(
        self, text: str, language: str | None, controls: Mapping[str, Value] | None = None
    ) -> list[speech.Segment]:
        """controls: those that the frontend reads (`FamilySpec.of_text`)."""
        ...

    async def symbols(self, segments: list[speech.Segment]) -> list[list[str]]:
        """The tokens of each segment by name: phones, or pieces of words."""
        ...

    async def check_text(self, text: str, language: str | None) -> None:
        """Checks a text of any length. Raises what `segments` would raise for any part of it."""

    async def encode_voice(self, reference: speech.Reference, keep: str | None = None) -> speech.VoicePrompt:
        """The prompt of a reference.

        keep: the id of its voice, under which the prompt is cached on disk until `forget`; None: in memory only.
        """
        ...

    def generate(
        self, request: speech.GptRequest, *, id: str, priority: int, admitted: bool
    ) -> AsyncIterator[speech.Run]:
        """Streams the runs of a segment. Closing the iterator cancels the work.

        admitted: part of a request that was already accepted. Otherwise raises Overloaded if the queue is full.
        """
        ...

    async def vocode(self, chunk: speech.VocoderChunk, *, id: str, priority: int) -> speech.VocodedChunk: ...

    async def cancel(self, id: str) -> None:
        """Unknown ids are ignored."""

    async def status(self) -> dict:
        """At least {"ready": bool, "device": {...}, "stages": {...}}; never raises."""
        ...
