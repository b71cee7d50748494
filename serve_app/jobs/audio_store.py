"""The files of jobs under one root, a folder or an object store, through fsspec.

uploads/JOB/…: what was submitted; sounds/ab/DIGEST.flac: spoken segments, under the hash of all that they depend on;
outputs/JOB/NAME: finished files. A file appears under its name only when it is complete. The
calls block: make them in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import fsspec
import numpy as np
import soundfile
from fsspec.implementations.local import LocalFileSystem

from deployments import private_files
from deployments.contract.errors import ConfigError, DiskFull

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
READ = 2**16  # bytes at a time
TEMPORARY = ".part-"  # in the names of files that are being written


class AudioStore:
    """root: a folder, or a URL that fsspec takes. Raises ConfigError (param "jobs.audio") for an unknown kind.

    Methods that write raise DiskFull; those that read raise FileNotFoundError.
    """

    def __init__(self, root: str) -> None:
        try:
            self._files, self._root = fsspec.core.url_to_fs(root)
        except (ValueError, ImportError) as error:
            raise ConfigError(
                f"must be a folder or a URL of an object store: {error}", param="jobs.audio"
            ) from None
        self._local = isinstance(self._files, LocalFileSystem)

    # any file

    def put(self, key: str, data: bytes) -> None:
        if not self._local:
            self._files.pipe_file(self._path(key), data)
            return
        self.put_file(key, io.BytesIO(data))

    def put_file(self, key: str, source: IO[bytes]) -> None:
        """Copies an open file."""
        with _room():
            if not self._local:
                with self._files.open(self._path(key), "wb") as target:
                    shutil.copyfileobj(source, target)
                return
            path = Path(self._path(key))
            private_files.make_folder(path.parent)
            part = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
            try:
                opened = os.open(
                    part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, private_files.FILE
                )
                with os.fdopen(opened, "wb") as target:
                    shutil.copyfileobj(source, target)
                    target.flush()
                    os.fsync(target.fileno())
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            private_files.sync_folder(path.parent)

    def scratch(self, job_id: str) -> Path:
        """An empty folder for files in progress, on the disk of the store if that is a folder.

        Deletes those that earlier calls for the job returned: their runners are dead, or have lost the job.
        """
        job = self._scratch(job_id)
        shutil.rmtree(job, ignore_errors=True)
        folder = job / secrets.token_hex(8)
        private_files.make_folder(folder)
        return folder

    def clear_scratch(self, folder: Path) -> None:
        """Deletes what `scratch` returned, and nothing of a later call."""
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()

    def adopt(self, key: str, path: Path) -> None:
        """Takes over a complete file from `scratch`."""
        if not self._local:
            with path.open("rb") as file:
                self.put_file(key, file)
            path.unlink()
            return
        target = Path(self._path(key))
        with _room():
            private_files.make_folder(target.parent)
            path.chmod(private_files.FILE)
            path.replace(target)
            private_files.sync_folder(target.parent)

    def _scratch(self, job_id: str) -> Path:
        root = Path(self._root) if self._local else Path(tempfile.gettempdir(), f"chorale-{os.getuid()}")
        return root / "scratch" / job_id

    def get(self, key: str) -> bytes:
        return self._files.cat_file(self._path(key))

    def open(self, key: str) -> Any:
        """A file object for reading, with `seek`."""
        return self._files.open(self._path(key), "rb")

    def size(self, key: str) -> int:
        return int(self._files.info(self._path(key))["size"])

    def version(self, key: str) -> str:
        """A name of a file's present content: it differs after the file has been replaced."""
        path = self._path(key)
        info = self._files.info(path)
        facts = (info["size"], info.get("ino"), info.get("ETag"), self._files.modified(path).timestamp())
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]

    def exists(self, key: str) -> bool:
        return bool(self._files.exists(self._path(key)))

    def delete(self, key: str) -> None:
        """Deletes a file or a folder. Nothing happens if there is none."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm(self._path(key), recursive=True)

    def ranges(self, key: str, begin: int, end: int) -> Iterator[bytes]:
        """The bytes begin..end - 1 in pieces."""
        with self.open(key) as file:
            file.seek(begin)
            while begin < end and (piece := file.read(min(READ, end - begin))):
                begin += len(piece)
                yield piece

    def older(self, folder: str, before: float) -> Iterator[str]:
        """The keys below a folder that were written before a time in seconds since the epoch."""
        for path in self._files.find(self._path(folder)):
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                if self._files.modified(path).timestamp() < before:
                    yield path[len(self._path("")) :]

    # sounds

    def put_sound(self, digest: str, waveform: np.ndarray, rate: int) -> None:
        """waveform: float32 (N,) in -1..1; kept as FLAC of 24 bits."""
        file = io.BytesIO()
        soundfile.write(file, waveform, rate, "PCM_24", format="FLAC")
        self.put(sound_key(digest), file.getvalue())

    def sound(self, digest: str) -> tuple[np.ndarray, int]:
        """float32 (N,) and its rate in Hz. Raises FileNotFoundError for one that is missing or damaged."""
        try:
            return soundfile.read(io.BytesIO(self.get(sound_key(digest))), dtype="float32")
        except soundfile.LibsndfileError:
            raise FileNotFoundError(digest) from None

    def samples(self, digest: str) -> int | None:
        """The length of a sound, None if it does not exist or is damaged."""
        try:
            return len(
                self.sound(digest)[0]
            )  # the header of a file that was cut off still has the whole length
        except FileNotFoundError:
            return None

    def delete_sound(self, digest: str) -> None:
        self.delete(sound_key(digest))

    def _path(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key}"


def sound_key(digest: str) -> str:
    """The key of a sound's FLAC file."""
    return f"sounds/{digest[:2]}/{digest}.flac"


@contextlib.contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull("The disk that stores the jobs' audio is full.") from error
        raise
