"""Voice prompts in an ingress process: made once for each voice and recording."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from cachetools import Cache, LRUCache

from deployments.contract.errors import InvalidInput
from deployments.contract.speech import Reference, VoicePrompt
from serve_app.audio.recording import Recording

Encode = Callable[[Reference, str | None], Awaitable[VoicePrompt]]
Read = Callable[
    ..., Awaitable[Recording]
]  # (audio, param=...): decodes a file, and names a field in its errors


class Examined(NamedTuple):
    """The prompt of a recording. warnings: its problems, as keys of `examine.WARNINGS`; fresh: made for this call."""

    prompt: VoicePrompt
    warnings: tuple[str, ...]
    fresh: bool = False


class VoicePrompts:
    """An LRU cache of prompts by voice and content of the recording. Concurrent first uses share one encoder run.

    requests: the name under which prompts of recordings in requests are kept on disk; None: only in memory.
    """

    def __init__(self, encode: Encode, capacity: int, requests: str | None = None) -> None:
        self._encode = encode
        self._requests = requests
        self._prompts: LRUCache[tuple[str | None, str], Examined] = LRUCache(capacity)
        self._running: dict[tuple[str | None, str], asyncio.Event] = {}
        self.hits = 0
        self.misses = 0

    def status(self) -> dict[str, int]:
        held = sum(Cache.__getitem__(self._prompts, key).prompt.nbytes for key in self._prompts)  # not a use
        return {"entries": len(self._prompts), "bytes": held, "hits": self.hits, "misses": self.misses}

    def clear(self) -> None:
        """Drops all prompts. The encoder's stage has its own caches, in memory and on disk."""
        self._prompts.clear()

    def forget(self, voice: str) -> None:
        """Drops the prompts of one voice, by its id."""
        for key in [key for key in self._prompts if key[0] == voice]:
            del self._prompts[key]

    async def of(
        self,
        audio: bytes,
        transcript: str | None,
        read: Read,
        *,
        param: str,
        voice: str | None = None,
        language: str | None = None,
    ) -> Examined:
        """The prompt of an audio file. read: called if it is not cached. voice: the id under which it is kept on disk.

        Raises InvalidInput (param `param`) for an unusable recording, and the errors of `read`.
        """
        voice = voice or self._requests
        about = hashlib.sha256(repr((transcript, language)).encode("utf-8", "replace"))
        digest = await asyncio.to_thread(lambda: hashlib.sha256(about.digest() + audio).hexdigest())
        key = voice, digest
        while key not in self._prompts:
            if key in self._running:
                await self._running[key].wait()
                continue  # that run may have failed or been cancelled
            finished = self._running[key] = asyncio.Event()
            try:
                self.misses += 1
                recording = await read(audio, param=param)
                reference = Reference.of(recording.waveform, recording.rate, transcript, language)
                made = Examined(await self._encode(reference, voice), recording.warnings)
                self._prompts[key] = made
                return made._replace(fresh=True)
            except InvalidInput as error:
                if error.param == "reference_audio":
                    error.param = param
                raise
            finally:
                del self._running[key]
                finished.set()
        self.hits += 1
        return self._prompts[key]
