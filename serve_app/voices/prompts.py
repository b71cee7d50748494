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
Read = Callable[[bytes, str], Awaitable[Recording]]


class Examined(NamedTuple):
    """The prompt of a recording, and what is not as it should be in that: keys of `examine.WARNINGS`.

    fresh: made for this call, not found in memory.
    """

    prompt: VoicePrompt
    warnings: tuple[str, ...]
    fresh: bool = False


class VoicePrompts:
    """Prompts by their voice and the content of their recording, the least recently used one dropped first.

    Concurrent first uses of one voice share one run of the encoder.
    requests: what prompts of recordings that are no voice's are kept under on disk; None: in memory alone.
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
        """All of them: the encoder's stage has its own, in memory and on disk."""
        self._prompts.clear()

    def forget(self, voice: str) -> None:
        """Those of one voice, by its id."""
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
        """The prompt of an audio file, with the text that is spoken in it, and the language of that.

        read: decodes one, and blames a field; only called if the prompt is not kept. voice: the id of the voice that it
        is a recording of, under which its prompt is kept on disk.
        Raises InvalidInput (param `param`) for no usable recording, and what `read` raises.
        """
        voice = voice or self._requests
        key = voice, await asyncio.to_thread(_digest, audio, transcript, language)
        while key not in self._prompts:
            if key in self._running:
                await self._running[key].wait()
                continue  # whoever ran may have been cancelled
            finished = self._running[key] = asyncio.Event()
            try:
                self.misses += 1
                recording = await read(audio, param)
                prompt = await self._encode(
                    Reference.of(recording.waveform, recording.rate, transcript, language), voice
                )
                made = Examined(prompt, recording.warnings)
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


def _digest(audio: bytes, transcript: str | None, language: str | None) -> str:
    said = hashlib.sha256(
        repr((transcript, language)).encode("utf-8", "replace")
    ).digest()  # always of one length
    return hashlib.sha256(said + audio).hexdigest()
