"""The models of a service, by the name that requests give."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from deployments import assembly
from deployments.contract.errors import NotFound, Unavailable
from deployments.contract.family import FamilySpec
from deployments.contract.options import ModelOptions
from serve_app.config.settings import IngressSettings
from serve_app.synthesis.backend import Backend
from serve_app.synthesis.stream import Synthesizer
from serve_app.voices.prompts import VoicePrompts

log = logging.getLogger("chorale.models")

ALIASES = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")  # OpenAI's names, which mean the default model
DATED = re.compile(rf"({'|'.join(ALIASES)})-[0-9]{{4}}(-[0-9]{{2}}-[0-9]{{2}})?")  # as tts-1-1106
REQUESTS = "request"  # instead of a voice's id, for recordings in requests
START_S = (
    120.0  # that a request waits for a model that is starting, for instance in an ingress that is new itself
)
PATIENCE = 3.0  # seconds that a model's stages have to report their status
UNKNOWN: dict[str, Any] = {"ready": False, "device": None, "stages": {}}  # status of a model


class Model:
    """A model that can speak. weights: identifies its files.

    Raises ConfigError if the configured chunks do not fit the family.
    """

    def __init__(
        self,
        name: str,
        options: ModelOptions,
        backend: Backend,
        ingress: IngressSettings = IngressSettings(),
        weights: str = "",
    ) -> None:
        self.name, self.options, self.backend, self.weights = name, options, backend, weights
        requests = REQUESTS if options.voice_encoder.keep_request_references else None
        self.prompts = VoicePrompts(backend.encode_voice, ingress.voice_cache, requests)
        chunks = assembly.schedule(options, self.spec)
        self.synthesizer = Synthesizer(backend, window=self.spec.window or ingress.window, chunks=chunks)

    @property
    def spec(self) -> FamilySpec:
        return self.backend.spec


@dataclass(slots=True)
class Entry:
    """reason: why the model failed, or why one that is ready has fewer replicas than configured.

    A model that is being replaced serves until the new one is ready.
    """

    model: Model | None = None
    reason: str | None = None
    failed: bool = False

    @property
    def state(self) -> Literal["starting", "ready", "failed"]:
        if self.failed:
            return "failed"
        return "ready" if self.model is not None else "starting"


class Models:
    """Every configured model. look: updates those that are not ready, before a request for one is rejected."""

    def __init__(self, models: Iterable[Model] = (), default: str | None = None) -> None:
        self.entries = {model.name: Entry(model) for model in models}
        self.default = default or next(iter(self.entries), "")
        self.look: Callable[[], Awaitable[None]] | None = None

    def __iter__(self) -> Iterator[Model]:
        """The models that can speak."""
        return iter([entry.model for entry in self.entries.values() if entry.model and not entry.failed])

    def by_rank(self) -> list[Model]:
        """The models that can speak, the default one first."""
        return sorted(self, key=lambda model: model.name != self.default)

    async def status(self) -> dict[str, Any]:
        """{"ready", "models": {name: state, reason and `Backend.status`}}, within PATIENCE seconds. Never raises.

        Ready: no model is starting, at least one can speak, and all stages of those that can speak are ready.
        """

        async def of(entry: Entry) -> dict[str, Any]:
            stages = UNKNOWN
            if entry.model and not entry.failed:
                with suppress(Exception):  # a stage's trouble must not hide that this process is alive
                    stages = await asyncio.wait_for(entry.model.backend.status(), PATIENCE)
            return {"state": entry.state, "reason": entry.reason, **stages}

        entries = dict(self.entries)
        found = dict(zip(entries, await asyncio.gather(*map(of, entries.values())), strict=True))
        states = {(model["state"], model["ready"]) for model in found.values() if model["state"] != "failed"}
        return {"ready": states == {("ready", True)}, "models": found}

    def expect(self, names: Iterable[str], default: str) -> list[Model]:
        """Replaces the set of names. Returns the models that are no longer in it."""
        before, self.default = self.entries, default
        self.entries = {name: before.get(name) or Entry() for name in names}
        return [entry.model for name, entry in before.items() if entry.model and name not in self.entries]

    def put(self, model: Model) -> None:
        self.entries[model.name] = Entry(model)

    def fail(self, name: str, reason: str) -> None:
        """reason: safe to show to clients."""
        entry = self.entries[name]
        if not entry.failed or entry.reason != reason:
            log.error("model %s failed: %s", name, reason)
        entry.reason, entry.failed = reason, True

    def limit(self, name: str, reason: str | None) -> None:
        """A model that can speak has fewer replicas than configured, and why; None: it has all of them."""
        entry = self.entries[name]
        if reason is not None and entry.reason != reason:
            log.warning("model %s has fewer replicas than configured: %s", name, reason)
        entry.reason = reason

    def name(self, asked: str | None) -> str:
        """The model's own name. Raises NotFound (param "model"), which lists the models."""
        if asked is None or asked in ALIASES:
            return self.default
        if asked not in self.entries:
            if DATED.fullmatch(asked):
                return self.default
            known = ", ".join((*self.entries, *ALIASES))
            message = f"The model in 'model' does not exist. Available: {known}."
            raise NotFound(message, param="model", code="model_not_found")
        return asked

    async def get(self, asked: str | None) -> Model:
        """Waits START_S at most for a model that is starting.

        Raises NotFound, and Unavailable (param "model") for a model that is still starting or has failed.
        """
        name = self.name(asked)
        if self.look is not None and self.entries.get(name, Entry()).state != "ready":
            await self.look()
            name = self.name(asked)
            with suppress(TimeoutError):
                async with asyncio.timeout(START_S):
                    while self.entries.get(name, Entry()).state == "starting":
                        await self.look()
                        name = self.name(asked)
        entry = self.entries.get(name, Entry())
        if entry.failed:
            message = f"The model '{name}' failed: {entry.reason}"
            raise Unavailable(message, param="model", code="model_failed")
        if entry.model is None:
            raise Unavailable(f"The model '{name}' is starting.", param="model", code="model_starting")
        return entry.model
