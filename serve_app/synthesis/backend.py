"""The stages as synthesis sees them, wherever they run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import numpy as np

from deployments.contract.family import FamilySpec
from deployments.contract.speech import GptRequest, Run, Segment, VocodedChunk, VocoderChunk, VoicePrompt


class Backend(Protocol):
    """The stages, wherever they run. Every method raises only `ChoraleError`s."""

    spec: FamilySpec

    async def segments(self, text: str, language: str | None) -> list[Segment]: ...

    async def check_text(self, text: str, language: str | None) -> None:
        """Raises what `segments` would, wherever in a long text it is."""
        ...

    async def encode_voice(
        self, waveform: np.ndarray, rate: int, transcript: str | None, keep: str | None = None
    ) -> VoicePrompt:
        """waveform: float32 (N,) mono at `rate` Hz.

        keep: the voice that it is of, under which the prompt is kept on disk until `forget`; None: in memory alone.
        """
        ...

    async def forget(self, voice: str) -> None:
        """Drops the prompts of a voice, in every process behind this and on disk; never raises.

        A process that is busy for longer than a few seconds does it later, and is not waited for.
        """
        ...

    def generate(self, request: GptRequest, *, id: str, priority: int, admitted: bool) -> AsyncIterator[Run]:
        """Closing it cancels.

        Not `admitted`: Overloaded where the queue is full.
        """
        ...

    async def vocode(self, chunk: VocoderChunk, *, id: str, priority: int) -> VocodedChunk: ...

    async def cancel(self, id: str) -> None:
        """Unknown ids are ignored."""
        ...

    async def status(self) -> dict:
        """At least {"ready": bool, "device": {...}, "stages": {...}}; never raises."""
        ...

    async def free(self) -> list[dict[str, Any]]:
        """Gives back what no work needs, in every process behind this; tells for each what it held and holds.

        A process: {"stage": str, "pid": int, "before": {...}, "after": {...}}, as `memory.free` of the engine.
        """
        ...
