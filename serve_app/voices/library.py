"""The voice library: the voices that ship with the family, and the uploaded ones."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

from deployments.contract.errors import ChoraleError, InvalidInput, NotFound
from serve_app.voices import files as voice_files
from serve_app.voices import names as voice_names
from serve_app.voices.files import Damaged, Meta, Stamp

log = logging.getLogger("chorale.voices")


def recordings(folder: Path) -> list[Path]:
    """The files NAME.flac and NAME.wav of a folder of voices."""
    return sorted([*folder.glob("*.flac"), *folder.glob("*.wav")])


class Voice(Meta):
    """A named reference recording. stamp: of an uploaded voice's files, another one for another recording."""

    audio: Path
    shipped: bool
    stamp: Stamp = ()


class VoiceLibrary:
    """The methods read files and block: call them in a thread.

    A voice is looked up by id first and by name second. A string that looks like an id is never looked up as a name,
    so no voice can take another's place. A damaged voice is skipped and logged once.
    """

    def __init__(self, shipped: Path, uploads: Path, *, capacity: int = 1000) -> None:
        self.uploads, self.capacity = uploads, capacity
        self._shipped = {voice.id: voice for voice in map(_shipped_voice, recordings(shipped))}
        self._shipped_names = {voice_names.key(voice.name): voice for voice in self._shipped.values()}
        self.aliases = voice_names.openai_aliases(list(self._shipped.values()))
        self._read: dict[str, Voice] = {}  # uploaded voices by id
        self._damaged: dict[str, str] = {}  # the logged line by id ("" for the library itself)

    def list(self) -> list[Voice]:
        """The shipped voices by name, then the uploaded ones by age."""
        ids = self._ids()
        found = {voice_id: voice for voice_id in ids if (voice := self._uploaded(voice_id)) is not None}
        self._read = found
        self._damaged = {key: line for key, line in self._damaged.items() if key in ids or not key}
        uploaded = sorted(found.values(), key=lambda voice: (voice.created_at, voice.name))
        return [*self._shipped.values(), *uploaded]

    def get(self, name: str, param: str = "voice") -> Voice:
        """Finds a voice by id, name or OpenAI name; see `names.key`. Raises NotFound, which lists the voices."""
        if (voice := self._find(name)) is not None:
            return voice
        names = ", ".join([voice.name for voice in self.list()][:40] + list(self.aliases))
        shown = f"'{name}'" if voice_names.is_allowed(voice_names.normalised(name)) else "this one"
        raise _missing(f"Invalid '{param}': {shown} does not exist. Available: {names}.", param)

    def aliases_of(self, voice: Voice) -> list[str]:
        return [alias for alias, voice_id in self.aliases.items() if voice_id == voice.id]

    def holds(self, voice: Voice) -> bool:
        """True if the voice still exists: neither deleted nor replaced by another upload."""
        return voice.shipped or self._uploaded(voice.id) == voice

    def sweep(self) -> None:
        """Erases the files that dead processes left behind."""
        voice_files.sweep(self.uploads)

    def ids(self) -> set[str]:
        """The ids of all voices, damaged ones included. Raises OSError if the uploaded ones cannot be listed."""
        return {*self._shipped, *voice_files.ids(self.uploads)}

    def check_name(self, name: str) -> None:
        """Raises InvalidInput (param "name") if the name is not allowed or taken, or the library is full."""
        name = voice_names.normalised(name)
        voice_names.check(name)
        folded, voice_id, uploaded = voice_names.key(name), voice_names.id_of(name), self._ids()
        if folded in self.aliases or folded in self._shipped_names or folded in self._shipped:
            raise _taken(name)
        if voice_id in uploaded:
            raise _taken(name, None if self._uploaded(voice_id) else voice_id)
        if len(uploaded) >= self.capacity:
            message = f"The voice library is full ({self.capacity} uploaded voices): delete one first."
            raise InvalidInput(message, param="name", code="voice_limit_reached")

    def add(self, name: str, recording: bytes, **about: Any) -> Voice:
        """recording: from `Recording.to_wav`; about: fields of `Meta`. Raises as `check_name`, and ChoraleError."""
        self.check_name(name)
        name = voice_names.normalised(name)
        meta = Meta(id=voice_names.id_of(name), name=name, created_at=int(time.time()), **about)
        try:
            voice_files.add(self.uploads, meta, recording)
        except FileExistsError:
            raise _taken(name) from None
        except OSError as error:
            raise _refused("stored", error) from error
        folder = self.uploads / meta.id
        try:
            return _voice(folder, meta, voice_files.stamp(folder))
        except (Damaged, FileNotFoundError):  # deleted already
            return _voice(folder, meta, ())

    def delete(self, name: str) -> str:
        """Removes an uploaded voice, even a damaged one, by id or name, but not its prompts. Returns its id.

        Raises NotFound, InvalidInput for a voice that ships with the family, and ChoraleError if the disk fails.
        """
        try:
            voice = self.get(name, param="voice_id")
        except NotFound:
            if (voice_id := self._damaged_id(name)) is None:
                raise
        else:
            voice_id = voice.id
            if voice.shipped:
                message = f"Voice '{voice.name}' is part of the service; only uploaded voices can be deleted."
                raise InvalidInput(message, param="voice_id", code="voice_not_deletable")
        try:
            voice_files.remove(self.uploads, voice_id)
        except FileNotFoundError:
            raise _missing(f"Voice '{voice_id}' does not exist.", "voice_id") from None
        except OSError as error:
            raise _refused("deleted", error) from error
        return voice_id

    def read(self, voice: Voice) -> bytes:
        """The recording's bytes. Raises NotFound if the voice was deleted meanwhile."""
        try:
            if voice.shipped:
                return voice.audio.read_bytes()
            return voice_files.read(voice.audio.parent, voice_files.AUDIO)
        except (OSError, Damaged) as error:
            raise _missing(f"Voice '{voice.name}' no longer exists.", "voice") from error

    def _find(self, name: str) -> Voice | None:
        if not voice_names.is_allowed(voice_names.normalised(name)):
            return None
        if (voice := self._shipped.get(name)) is not None:
            return voice
        if voice_names.is_like_id(name):
            return self._uploaded(name) if voice_names.ID.fullmatch(name) else None
        folded = voice_names.key(name)
        if (voice := self._shipped_names.get(folded)) is not None:
            return voice
        if (voice := self._uploaded(voice_names.id_of(name))) is not None:
            return voice
        return self._shipped[self.aliases[folded]] if folded in self.aliases else None

    def _uploaded(self, voice_id: str) -> Voice | None:
        """The uploaded voice, or None if it does not exist or is damaged."""
        folder = self.uploads / voice_id
        try:
            stamp = voice_files.stamp(folder)
            known = self._read.get(voice_id)
            if known is None or known.stamp != stamp:
                meta = voice_files.read_meta(folder)
                if meta.id != voice_id or voice_names.id_of(meta.name) != voice_id:
                    raise Damaged(
                        "meta.json belongs to another voice: its id and name do not match the folder"
                    )
                if not voice_names.is_allowed(meta.name):
                    raise Damaged("meta.json: name is not allowed")
                known = self._read[voice_id] = _voice(folder, meta, stamp)
        except FileNotFoundError:
            self._read.pop(voice_id, None)
            return None
        except Damaged as error:
            self._log_once(voice_id, f"voice {voice_id} is damaged and is skipped: {error}")
            return None
        self._damaged.pop(voice_id, None)
        return known

    def _damaged_id(self, name: str) -> str | None:
        """The id of a damaged voice, looked up by its folder's name or by the voice's name."""
        found, names = self._ids(), [name]
        if voice_names.is_allowed(voice_names.normalised(name)) and not voice_names.is_like_id(name):
            names.append(voice_names.id_of(name))
        return next((one for one in names if one in found and self._uploaded(one) is None), None)

    def _ids(self) -> set[str]:
        """The ids of the uploaded voices, damaged ones included. Empty if they cannot be listed, which is logged."""
        try:
            found = set(voice_files.ids(self.uploads))
        except OSError as error:
            self._log_once("", f"uploaded voices cannot be listed: {error.strerror}")
            return set()
        self._damaged.pop("", None)
        return found

    def _log_once(self, key: str, message: str) -> None:
        if self._damaged.get(key) != message:
            self._damaged[key] = message
            log.error("%s", message)


def _shipped_voice(audio: Path) -> Voice:
    described = audio.with_suffix(".json")
    meta = json.loads(described.read_text("utf-8")) if described.exists() else {}
    known = ("language", "gender", "description", "transcript", "consent")
    about: dict[str, Any] = {key: str(meta[key]) for key in known if meta.get(key)}
    about |= {"id": audio.stem, "name": str(meta.get("name", audio.stem)), "audio": audio, "shipped": True}
    return Voice(created_at=int(audio.stat().st_mtime), **about)


def _voice(folder: Path, meta: Meta, stamp: Stamp) -> Voice:
    return Voice(audio=folder / voice_files.AUDIO, shipped=False, stamp=stamp, **meta.model_dump())


def _missing(message: str, param: str) -> NotFound:
    return NotFound(message, param=param, code="voice_not_found")


def _taken(name: str, damaged: str | None = None) -> InvalidInput:
    # not 409, which OpenAI's client retries
    state = f" and its files are damaged; delete it first ('{damaged}')" if damaged else ""
    return InvalidInput(f"A voice named '{name}' already exists{state}.", param="name", code="voice_exists")


def _refused(what: str, error: OSError) -> ChoraleError:
    log.error("a voice could not be %s: %s", what, error)
    reason = error.strerror or "disk error"
    return ChoraleError(f"The voice could not be {what}: {reason}.", code="storage_failed")
