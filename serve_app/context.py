"""What the routes of one ingress process share, and the settings that it is made from."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from deployments import families
from deployments.contract.family import FamilySpec
from deployments.engine.vocode.schedule import ChunkSchedule
from serve_app.lane import Backend
from serve_app.settings import ChunkSettings
from serve_app.synthesis import Synthesizer
from serve_app.voices import VoiceLibrary, VoicePrompts

SHIPPED_VOICES = (
    Path(families.__file__).parent / "small" / "voices"
)  # recordings: every family can clone them
MODEL_ALIASES = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")  # so that OpenAI clients work unchanged

PATIENCE = 3.0  # seconds that the stages have to tell how they are
NOTHING_KNOWN: dict[str, Any] = {"ready": False, "device": None, "stages": {}}
GLANCE = 0.02  # seconds: what a stage with nothing to do needs


class IngressSettings(BaseModel):
    """How the service looks from outside. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str = "small"
    family_options: dict[str, Any] = {}
    sampling: dict[str, Any] = {}  # over the family's defaults; a seed here replaces the random one
    data_dir: str = "~/.local/share/chorale"
    max_input_chars: int = Field(default=5000, ge=1)
    max_upload_bytes: int = Field(default=10 * 2**20, ge=1024)
    vocoder_chunk_size: int = Field(default=500, ge=20)  # frames of 10 ms in the longest chunk
    chunks: ChunkSettings = ChunkSettings()
    max_voices: int = Field(default=1000, ge=0)  # uploaded ones
    voice_cache: int = Field(default=256, ge=1)  # prompts in memory
    window: int = Field(default=3, ge=1)  # segments of one request at once
    max_ongoing_requests: int = Field(default=256, ge=1)  # that make work for others
    echo_request_id: bool = True  # off behind a proxy that sets x-request-id itself

    @property
    def model(self) -> str:
        return f"chorale-{self.family.replace('_', '-')}"

    def schedule(self, spec: FamilySpec) -> ChunkSchedule:
        """Raises ConfigError where the chunks do not fit the family."""
        return ChunkSchedule.of(spec, self.vocoder_chunk_size, **self.chunks.model_dump())


@dataclass(slots=True)
class Context:
    """One per ingress process; reached through `request.app.state.context`."""

    settings: IngressSettings
    backend: Backend
    synthesizer: Synthesizer
    voices: VoiceLibrary
    prompts: VoicePrompts
    started: float = field(default_factory=time.time)
    requests: int = 0  # speech requests so far
    listening: int = 0  # of them now
    _known: dict[str, Any] = field(default_factory=lambda: dict(NOTHING_KNOWN), init=False)
    _asking: asyncio.Task[dict[str, Any]] | None = field(default=None, init=False)

    async def status(self) -> dict[str, Any]:
        """What the stages say of themselves, in PATIENCE seconds at most. Never raises."""
        try:
            self._known = await asyncio.wait_for(self.backend.status(), PATIENCE)
        except Exception:  # whatever a stage's trouble is, this process is alive and says so
            self._known = dict(NOTHING_KNOWN)
        return self._known

    async def last_status(self) -> dict[str, Any]:
        """What the stages last said. They are asked meanwhile, and not waited for."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self.status())
            await asyncio.wait([self._asking], timeout=GLANCE)
        return self._known

    @classmethod
    def create(cls, settings: IngressSettings, backend: Backend, shipped: Path | None = None) -> Context:
        """shipped: a folder of voices that come with the service.

        Raises ConfigError where the chunks of the settings do not fit the family.
        """
        spec = backend.spec
        voices = VoiceLibrary(
            shipped or SHIPPED_VOICES,
            Path(settings.data_dir).expanduser() / "voices",
            min_seconds=spec.min_reference_seconds,
            max_seconds=spec.max_reference_seconds,
            capacity=settings.max_voices,
        )
        prompts = VoicePrompts(backend.encode_voice, settings.voice_cache)
        window = spec.window or settings.window
        synthesizer = Synthesizer(backend, window=window, chunks=settings.schedule(spec))
        return cls(settings, backend, synthesizer, voices, prompts)
