"""The voice library: what ships with the family, what was uploaded, and the prompts made from them.

An uploaded voice is a folder that comes and goes in one rename, so every process sees it at once and whole:

    <data>/<id>/audio.wav    16 bit mono
    <data>/<id>/meta.json    name, language, transcript, ...

Its id is made from its name, so two processes cannot both accept the same name.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import re
import shutil
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from deployments.contract.errors import InvalidInput, NotFound
from deployments.contract.speech import VoicePrompt
from serve_app.audio import decode_reference
from serve_app.audio.examine import examine

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}")
NAME_RULE = "1 to 64 letters, digits, spaces, '_', '.' or '-', and the first a letter or digit"

# OpenAI's names stand for shipped voices of the same kind, so that its clients work unchanged
OPENAI_VOICES = dict.fromkeys(
    ("alloy", "coral", "marin", "nova", "sage", "shimmer"), "female"
) | dict.fromkeys(("ash", "ballad", "cedar", "echo", "fable", "onyx", "verse"), "male")


@dataclass(frozen=True, slots=True)
class Voice:
    """A named reference recording."""

    id: str
    name: str
    audio: Path
    created_at: int
    shipped: bool
    language: str | None = None
    gender: str | None = None
    description: str | None = None
    transcript: str | None = None
    consent: str | None = None
    warnings: tuple[str, ...] = ()  # keys of `examine.WARNINGS`


class VoiceLibrary:
    """Blocking (files): call it in a thread. A reference longer than `max_seconds` is cut off there."""

    def __init__(
        self, shipped: Path, uploads: Path, *, min_seconds: float, max_seconds: float, capacity: int = 1000
    ) -> None:
        self.uploads = uploads
        self.capacity = capacity
        self.min_seconds = min_seconds
        self.max_seconds = max_seconds
        self._shipped = {voice.id: voice for voice in map(_shipped_voice, sorted(shipped.glob("*.wav")))}
        self.aliases = _aliases(list(self._shipped.values()))
        self._read: dict[tuple[str, int, int], Voice] = {}

    def list(self) -> list[Voice]:
        """The shipped ones by name, then the uploaded ones by age."""
        uploaded, read = [], {}
        for entry in os.scandir(self.uploads) if self.uploads.is_dir() else ():
            if not entry.name.startswith("voice_"):
                continue
            try:
                stat = (Path(entry.path) / "meta.json").stat()
                key = (entry.name, stat.st_ino, stat.st_mtime_ns)
                read[key] = self._read.get(key) or _uploaded_voice(Path(entry.path))
            except OSError:  # deleted meanwhile
                continue
            uploaded.append(read[key])
        self._read = read
        return list(self._shipped.values()) + sorted(
            uploaded, key=lambda voice: (voice.created_at, voice.name)
        )

    def get(self, name: str, param: str = "voice") -> Voice:
        """By id, name or OpenAI's name (letter case aside). Raises NotFound, which lists what there is."""
        wanted = name.casefold()
        voices = self.list()
        for voice in voices:
            if name == voice.id or wanted == voice.name.casefold():
                return voice
        if wanted in self.aliases:
            return self._shipped[self.aliases[wanted]]
        names = ", ".join([voice.name for voice in voices][:40] + list(self.aliases))
        shown = f"'{name}'" if NAME.fullmatch(name) else "this one"
        message = f"Invalid '{param}': {shown} does not exist. Available: {names}."
        raise NotFound(message, param=param, code="voice_not_found")

    def normalise(self, audio: bytes) -> bytes:
        """Any audio file as a 16 bit mono WAV. Raises InvalidInput (param "audio_sample")."""
        waveform, rate = decode_reference(audio, min_seconds=self.min_seconds, max_seconds=self.max_seconds)
        file = io.BytesIO()
        soundfile.write(file, waveform, rate, "PCM_16", format="WAV")
        return file.getvalue()

    def check_name(self, name: str) -> None:
        """Raises InvalidInput (param "name") for one that is not allowed or taken, or where the library is full."""
        if not NAME.fullmatch(name):
            raise InvalidInput(f"Invalid 'name': must be {NAME_RULE}.", param="name")
        voices = self.list()
        if name.casefold() in self.aliases or any(
            name.casefold() in (v.id, v.name.casefold()) for v in voices
        ):
            raise _taken(name)
        if len(voices) - len(self._shipped) >= self.capacity:
            message = f"The voice library is full ({self.capacity} uploaded voices): delete one first."
            raise InvalidInput(message, param="name", code="voice_limit_reached")

    def add(
        self,
        name: str,
        recording: bytes,
        *,
        language: str | None = None,
        transcript: str | None = None,
        consent: str | None = None,
        description: str | None = None,
        warnings: tuple[str, ...] = (),
    ) -> Voice:
        """recording: as `normalise` made it. Raises what `check_name` raises."""
        self.check_name(name)
        folder = self.uploads / f"voice_{hashlib.sha256(name.casefold().encode()).hexdigest()[:20]}"
        voice = Voice(
            id=folder.name,
            name=name,
            audio=folder / "audio.wav",
            created_at=int(time.time()),
            shipped=False,
            language=language,
            description=description,
            transcript=transcript,
            consent=consent,
            warnings=warnings,
        )
        self.uploads.mkdir(parents=True, exist_ok=True)
        draft = self.uploads / f".new-{uuid.uuid4().hex}"
        draft.mkdir()
        try:
            (draft / "audio.wav").write_bytes(recording)
            meta = {key: value for key, value in asdict(voice).items() if key not in ("audio", "shipped")}
            (draft / "meta.json").write_text(json.dumps(meta, ensure_ascii=False, indent=1) + "\n", "utf-8")
            os.rename(draft, folder)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            if folder.exists():
                raise _taken(name) from error
            raise
        return voice

    def delete(self, name: str) -> Voice:
        """Raises NotFound, or InvalidInput for a voice that ships with the family."""
        voice = self.get(name, param="voice_id")
        if voice.shipped:
            message = f"Voice '{voice.name}' ships with the service: only uploaded ones can be deleted."
            raise InvalidInput(message, param="voice_id", code="voice_not_deletable")
        gone = self.uploads / f".gone-{uuid.uuid4().hex}"
        try:
            os.rename(voice.audio.parent, gone)
        except OSError as error:
            message = f"Voice '{voice.name}' does not exist."
            raise NotFound(message, param="voice_id", code="voice_not_found") from error
        shutil.rmtree(gone, ignore_errors=True)
        return voice

    def read(self, voice: Voice) -> bytes:
        """The recording's bytes. Raises NotFound where it was deleted meanwhile."""
        try:
            return voice.audio.read_bytes()
        except OSError as error:
            message = f"Voice '{voice.name}' does not exist any more."
            raise NotFound(message, param="voice", code="voice_not_found") from error


def _shipped_voice(audio: Path) -> Voice:
    meta = {}
    described = audio.with_suffix(".json")
    if described.exists():
        meta = json.loads(described.read_text("utf-8"))
    known = ("language", "gender", "description", "transcript", "consent")
    text: dict[str, Any] = {key: str(meta[key]) for key in known if meta.get(key)}
    return Voice(
        audio.stem, str(meta.get("name", audio.stem)), audio, int(audio.stat().st_mtime), True, **text
    )


def _uploaded_voice(folder: Path) -> Voice:
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    warnings = tuple(meta.pop("warnings", ()))
    return Voice(audio=folder / "audio.wav", shipped=False, warnings=warnings, **meta)


def _aliases(shipped: list[Voice]) -> dict[str, str]:
    """OpenAI's names dealt over the shipped English voices of the same gender, always the same way."""
    own = {voice.name.casefold() for voice in shipped}
    english = [voice for voice in shipped if voice.language in (None, "en")] or shipped
    dealt: dict[str, str] = {}
    for gender in ("female", "male"):
        fitting = [voice for voice in english if voice.gender == gender] or english
        names = [name for name, kind in OPENAI_VOICES.items() if kind == gender and name not in own]
        if fitting:
            dealt |= {name: fitting[i % len(fitting)].id for i, name in enumerate(names)}
    return dict(sorted(dealt.items()))


def _taken(name: str) -> InvalidInput:
    # not 409: OpenAI's client retries that
    return InvalidInput(f"A voice named '{name}' exists already.", param="name", code="voice_exists")


Encode = Callable[[np.ndarray, int, str | None], Awaitable[VoicePrompt]]


class Examined(NamedTuple):
    """The prompt of a recording, and what is not as it should be in that: keys of `examine.WARNINGS`."""

    prompt: VoicePrompt
    warnings: tuple[str, ...]


class VoicePrompts:
    """Prompts by the content of their recording, the least recently used one forgotten first.

    Concurrent first uses of one voice share one run of the encoder.
    """

    def __init__(self, encode: Encode, capacity: int) -> None:
        self._encode = encode
        self._capacity = capacity
        self._prompts: OrderedDict[str, Examined] = OrderedDict()
        self._running: dict[str, asyncio.Event] = {}
        self.hits = 0
        self.misses = 0

    def status(self) -> dict[str, int]:
        held = sum(prompt.nbytes for prompt, _ in self._prompts.values())
        return {"entries": len(self._prompts), "bytes": held, "hits": self.hits, "misses": self.misses}

    def forget(self) -> None:
        """All of them: the encoder's stage has its own, in memory and on disk."""
        self._prompts.clear()

    async def of(
        self, audio: bytes, transcript: str | None, *, min_seconds: float, max_seconds: float, param: str
    ) -> Examined:
        """The prompt of an audio file. Raises InvalidInput (param `param`) for no usable recording."""
        key = await asyncio.to_thread(_digest, audio, transcript)
        while key not in self._prompts:
            if key in self._running:
                await self._running[key].wait()
                continue  # whoever ran may have been cancelled
            finished = self._running[key] = asyncio.Event()
            try:
                self.misses += 1
                waveform, rate = await asyncio.to_thread(
                    decode_reference, audio, min_seconds=min_seconds, max_seconds=max_seconds, param=param
                )
                warnings = await asyncio.to_thread(examine, waveform, rate, param)
                if len(waveform) >= int(max_seconds * rate):
                    warnings += ("cut",)
                made = Examined(await self._encode(waveform, rate, transcript), warnings)
                self._prompts[key] = made
                while len(self._prompts) > self._capacity:
                    self._prompts.popitem(last=False)
                return made
            except InvalidInput as error:
                if error.param == "reference_audio":
                    error.param = param
                raise
            finally:
                del self._running[key]
                finished.set()
        self.hits += 1
        self._prompts.move_to_end(key)
        return self._prompts[key]


def _digest(audio: bytes, transcript: str | None) -> str:
    return hashlib.sha256(b"\0".join([(transcript or "").encode(), audio])).hexdigest()
