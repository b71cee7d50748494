"""Uploaded voices on disk. A voice is a folder that one rename adds or removes, so no process sees half of it.

    <library>/<id>/audio.wav    16 bit mono
    <library>/<id>/meta.json    `Meta`

The contents are untrusted: links are not followed, large files are not read, and pipes and devices are not opened.
All functions block.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments import private_files

log = logging.getLogger("chorale.voices")

AUDIO, META = "audio.wav", "meta.json"
LARGEST = {AUDIO: 64 * 2**20, META: 64 * 1024}  # bytes, far more than the service writes
DRAFT, GONE = ".new-", ".gone-"
ABANDONED_S = 300.0  # an older draft belongs to a process that died while writing it

Stamp = tuple[int, ...]  # identifies one state of a voice's files


class Damaged(Exception):
    """The folder holds no usable voice. The message gives the reason, for the log."""


class Meta(BaseModel):
    """meta.json."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: str
    name: str
    created_at: int = Field(ge=0, le=2**53)
    language: str | None = None
    gender: str | None = None
    description: str | None = None
    transcript: str | None = None
    consent: str | None = None
    warnings: tuple[str, ...] = ()  # keys of `examine.WARNINGS`


def stamp(folder: Path) -> Stamp:
    """A value that changes with the files. Raises FileNotFoundError if there is no such folder, and Damaged."""
    parts: list[int] = []
    with _opened(folder) as opened:
        for name, most in LARGEST.items():
            with _errors_as_damaged(name):
                seen = os.stat(name, dir_fd=opened, follow_symlinks=False)
                private_files.check_ordinary(seen, most)
                parts += (seen.st_ino, seen.st_mtime_ns, seen.st_size)
    return tuple(parts)


def read_meta(folder: Path) -> Meta:
    """Raises FileNotFoundError if there is no such folder, and Damaged."""
    data = read(folder, META)
    try:
        return Meta.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise Damaged(": ".join([META, *map(str, first["loc"]), first["msg"]])) from None


def add(library: Path, meta: Meta, recording: bytes) -> None:
    """Raises FileExistsError if the library has the id, and OSError if the disk fails."""
    private_files.make_folder(library)
    draft = library / f"{DRAFT}{uuid.uuid4().hex}"
    try:
        draft.mkdir(private_files.FOLDER)
        private_files.write(draft / AUDIO, recording)
        private_files.write(draft / META, (meta.model_dump_json(indent=1) + "\n").encode())
        private_files.sync_folder(draft)
        try:
            os.rename(draft, library / meta.id)
        except OSError:
            if os.path.lexists(library / meta.id):
                raise FileExistsError(meta.id) from None
            raise
    except BaseException:
        _erase(draft)
        raise
    private_files.sync_folder(library)


def remove(library: Path, voice_id: str) -> None:
    """Removes a voice, damaged or not. Raises FileNotFoundError, and OSError if the disk fails."""
    os.rename(library / voice_id, library / f"{GONE}{uuid.uuid4().hex}")
    private_files.sync_folder(library)
    sweep(library)


def sweep(library: Path) -> None:
    """Erases the remains of removals and of processes that died. Raises nothing."""
    with contextlib.suppress(OSError):
        for path in map(library.joinpath, os.listdir(library)):
            with contextlib.suppress(OSError):
                old = path.lstat().st_mtime < time.time() - ABANDONED_S
                if path.name.startswith(GONE) or (path.name.startswith(DRAFT) and old):
                    _erase(path)


def ids(library: Path) -> list[str]:
    """The names of all entries that should be a voice's folder. Raises OSError."""
    try:
        return [entry for entry in os.listdir(library) if entry.startswith("voice_")]
    except FileNotFoundError:  # no voice was ever uploaded
        return []


def _erase(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
    if os.path.lexists(path):
        log.error("%s could not be removed", path)


def read(folder: Path, name: str) -> bytes:
    """A file of a voice: AUDIO or META. Raises FileNotFoundError if there is no such folder, and Damaged."""
    with _opened(folder) as opened, _errors_as_damaged(name):
        return private_files.read(name, LARGEST[name], opened)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A descriptor of the folder."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if not os.path.lexists(folder):
            raise FileNotFoundError(folder) from None
        raise Damaged(f"not a readable folder: {error.strerror}") from None
    try:
        yield opened
    finally:
        os.close(opened)


@contextlib.contextmanager
def _errors_as_damaged(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise Damaged(f"{name}: {getattr(error, 'strerror', error)}") from None
