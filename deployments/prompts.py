"""Caches of voice prompts by the content of their reference, in memory and on disk, so that each is encoded once."""

import asyncio
import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cachetools import Cache, LRUCache

from deployments import private_files
from deployments.contract.device import Device
from deployments.contract.family import Family
from deployments.contract.speech import Reference, VoicePrompt

log = logging.getLogger(__name__)

Encode = Callable[[Reference], Awaitable[VoicePrompt]]
ENDING = ".safetensors"
DRAFT = ".draft"
ABANDONED_S = 300.0  # age of an unfinished or unclaimed file from which its process is considered dead
RECOUNT_S = 60.0  # other processes write too: the files are counted again when the last count is older
SPARE = 10  # 1 / SPARE of a full store is freed at once, so that not every further prompt counts the files


def fingerprint(family: Family, options: Mapping[str, Any], device: Device) -> str:
    """Identifies the encoder, so that prompts of one encoder are never used with another.

    Depends on the family, its options, the device's kind and precision, and the names, sizes and modification times of
    the weight files and of this package's code. Their contents are gigabytes, which would delay the start.
    """
    files = [_files(family.folder, "*"), _files(Path(__file__).parent, "*.py")]
    seen = [[(str(path), size, changed) for changed, size, path in found] for found in files]
    about = [family.spec.name, dict(options), device.kind, str(device.dtype), seen]
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:32]


class PromptCache(LRUCache[str, VoicePrompt]):
    """The most recently used prompts, in memory. maxsize: their number; 0 keeps none."""

    @property
    def nbytes(self) -> int:
        return sum(Cache.__getitem__(self, key).nbytes for key in self)  # which is not a use

    def __setitem__(self, key: str, prompt: VoicePrompt) -> None:
        if self.maxsize:
            super().__setitem__(key, prompt)

    def forget(self, voice: str) -> None:
        for key in [key for key in self if key.rpartition(".")[0] == voice]:
            del self[key]


def forget(root: Path, voice: str) -> None:
    """Removes the prompts of `voice` from `root`, for all encoders. Never raises; failures are logged."""
    _unlink(root, [path for _, _, path in _files(root, f"*{ENDING}") if _voice_of(path) == voice])


def sweep(root: Path, voices: Collection[str]) -> None:
    """Removes the prompts of voices that are not in `voices`, unless they were used in the last few minutes.

    A process that died while it added or deleted a voice leaves them. Those without a voice, of earlier versions, go at
    once.
    """
    old = (time.time() - ABANDONED_S) * 1e9
    strays = [(used, path) for used, _, path in _files(root, f"*{ENDING}") if _voice_of(path) not in voices]
    _unlink(root, [path for used, path in strays if used < old or not _voice_of(path)])


def _voice_of(path: Path) -> str:
    """ "" where the file does not say."""
    return path.name.removesuffix(ENDING).rpartition(".")[0]


def _unlink(root: Path, paths: list[Path]) -> None:
    """So that no power cut brings them back."""
    for path in paths:
        try:
            (root / path).unlink(missing_ok=True)
        except OSError as error:
            log.error("voice prompt %s could not be removed: %s", path, error.strerror)
    for folder in {(root / path).parent for path in paths}:
        with suppress(OSError):
            private_files.sync_folder(folder)


class PromptStore:
    """Prompts as files `<root>/<fingerprint>/<key>.safetensors`, shared by every process with access to the folder.

    most, most_bytes: limits on all files under `root`, for all encoders; the least recently used are evicted first. If
    one is 0, nothing is read or written, and only `forget` removes files. Each process keeps running totals (`entries`,
    `nbytes`) and counts again at its start, at a limit, and with the first write after RECOUNT_S: in between, other
    processes' writes can exceed the limits. A file appears by a rename; a damaged one is treated as missing. Disk
    errors are logged, and the prompt is encoded again. Blocking: call it in a thread.
    """

    def __init__(self, root: Path, family: str, fingerprint: str, most: int, most_bytes: int) -> None:
        self._root, self._folder = root, root / fingerprint
        self._family, self._most, self._most_bytes = family, most, most_bytes
        self._on = most > 0 and most_bytes > 0
        self.entries = self.nbytes = 0
        self._counted = 0.0  # when
        if self._on:
            private_files.tighten(root)
            self._prune()

    def get(self, key: str) -> VoicePrompt | None:
        if not self._on:
            return None
        path = self._folder / f"{key}{ENDING}"
        try:
            prompt = VoicePrompt.from_bytes(self._family, private_files.read(path, self._most_bytes))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("voice prompt %s cannot be read: %s", key[:12], error)
            return None
        with suppress(OSError):
            os.utime(path)  # used just now
        return prompt

    def put(self, key: str, prompt: VoicePrompt) -> None:
        if not self._on:
            return
        draft, path = self._folder / f"{uuid.uuid4().hex}{DRAFT}", self._folder / f"{key}{ENDING}"
        data = prompt.to_bytes()
        try:
            private_files.make_folder(self._folder)
            private_files.write(draft, data, sync=False)
            replaced = path.lstat().st_size if path.exists() else None
            os.replace(draft, path)
        except OSError as error:
            log.warning("voice prompt %s cannot be written to disk: %s", key[:12], error.strerror)
            with suppress(OSError):
                draft.unlink()
            return
        self.entries += replaced is None
        self.nbytes += len(data) - (replaced or 0)
        full = self.entries > self._most or self.nbytes > self._most_bytes
        if full or time.monotonic() - self._counted > RECOUNT_S:
            self._prune()

    def forget(self, voice: str) -> None:
        """Removes the prompts of `voice`, those that other encoders made too."""
        forget(self._root, voice)
        if self._on:
            self._prune()

    def _prune(self) -> None:
        """Counts the files; if there are too many, evicts down to a little below the limits."""
        files = sorted(_files(self._root, f"*{ENDING}"), reverse=True)
        most, most_bytes = self._most, self._most_bytes
        if len(files) > most or sum(size for _, size, _ in files) > most_bytes:
            most, most_bytes = most - most // SPARE, most_bytes - most_bytes // SPARE
        self.entries, self.nbytes, self._counted = 0, 0, time.monotonic()
        old = (time.time() - ABANDONED_S) * 1e9
        gone = [path for begun, _, path in _files(self._root, f"*{DRAFT}") if begun < old]
        for _, size, path in files:
            if self.entries >= most or self.nbytes + size > most_bytes:
                gone.append(path)
            else:
                self.entries += 1
                self.nbytes += size
        _unlink(self._root, gone)


class KeptPrompts:
    """The cache in front of `encode`: `size` prompts in memory, then `store` on disk. One event loop owns it."""

    def __init__(self, encode: Encode, size: int, store: PromptStore | None = None) -> None:
        self._encode, self._store = encode, store
        self._memory = PromptCache(size)
        self.encoded = self.memory_hits = self.disk_hits = 0

    async def of(self, reference: Reference, keep: str | None = None) -> VoicePrompt:
        """keep: the id of the voice, None for memory only. Raises InvalidInput (param "reference_audio")."""
        key = f"{keep or ''}.{await asyncio.to_thread(lambda: reference.key)}"
        if (prompt := self._memory.get(key)) is not None:
            self.memory_hits += 1
            return prompt
        store = self._store if keep else None
        if store is not None and (prompt := await asyncio.to_thread(store.get, key)) is not None:
            self.disk_hits += 1
        else:
            prompt = await self._encode(reference)
            self.encoded += 1
            if store is not None:
                await asyncio.to_thread(store.put, key, prompt)
        self._memory[key] = prompt
        return prompt

    def clear(self) -> None:
        """Drops the prompts in memory, not those on disk."""
        self._memory.clear()

    async def forget(self, voice: str) -> None:
        """The prompts of `voice`, in memory and on disk."""
        self._memory.forget(voice)
        if self._store is not None:
            await asyncio.to_thread(self._store.forget, voice)

    def status(self) -> dict[str, int]:
        on_disk = self._store
        return {
            "encoded": self.encoded,
            "memory_hits": self.memory_hits,
            "disk_hits": self.disk_hits,
            "entries": len(self._memory),
            "bytes": self._memory.nbytes,
            "disk_entries": on_disk.entries if on_disk else 0,
            "disk_bytes": on_disk.nbytes if on_disk else 0,
        }


def _files(folder: Path, pattern: str) -> list[tuple[int, int, Path]]:
    """(time of change in ns, bytes, path within the folder) of the files below `folder`, by path."""
    found = []
    for path in sorted(folder.rglob(pattern)):
        try:
            stat = path.stat()
        except OSError:  # another process has removed it
            continue
        if path.is_file():
            found.append((stat.st_mtime_ns, stat.st_size, path.relative_to(folder)))
    return found
