"""Folders and files that only their owner can read. A power cut leaves either the old state or the new one."""

import contextlib
import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)

FOLDER, FILE = 0o700, 0o600


def make_folder(folder: Path) -> None:
    """Creates `folder` and its missing parents with mode 700. Raises OSError."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(FOLDER, exist_ok=True)
        with contextlib.suppress(OSError):  # a parent that this process cannot read
            sync_folder(path.parent)


def read(path: Path | str, most: int, folder: int | None = None) -> bytes:
    """Reads a regular file of 1 to `most` bytes. Links are not followed. folder: the descriptor of its folder.

    Raises OSError, and ValueError for anything else than such a file.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # non-blocking, in case it is a pipe
    opened = os.open(path, flags, dir_fd=folder)
    try:
        check_ordinary(os.fstat(opened), most)
        with os.fdopen(opened, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(opened)


def check_ordinary(seen: os.stat_result, most: int) -> None:
    """Raises ValueError unless `seen` is a regular file of 1 to `most` bytes."""
    if not stat.S_ISREG(seen.st_mode):
        raise ValueError("not a regular file")
    if not 0 < seen.st_size <= most:
        raise ValueError(f"{seen.st_size} bytes; 1 to {most} are allowed")


def write(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Writes a new file with mode 600. sync: wait until it is on the disk. Raises OSError."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE)
    with os.fdopen(opened, "wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Waits until renames and removals in `folder` are on the disk. Raises OSError."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def tighten(folder: Path, *, below: bool = True) -> None:
    """Removes other users' permissions from `folder` and, with `below`, from everything in it.

    Skips links and, with a log message, files of other users and a shared folder (with a sticky bit, like /tmp).
    """
    if folder.exists() and folder.stat().st_mode & stat.S_ISVTX:
        log.warning("%s contains files of other users; its mode is unchanged", folder)
        left = 0
    else:
        left = int(not _tighten(folder.resolve()))
    if below:
        for parent, folders, files in os.walk(folder):
            left += sum(not _tighten(Path(parent, name)) for name in folders + files)
    if left:
        log.warning("%s: the modes of %d files and folders of other users are unchanged", folder, left)


def _tighten(path: Path) -> bool:
    """True if other users have no permissions afterwards."""
    try:
        seen = path.lstat()
        if stat.S_ISLNK(seen.st_mode) or not seen.st_mode & 0o077:
            return True
        if seen.st_uid != os.geteuid():
            return False
        path.chmod(seen.st_mode & (FOLDER if stat.S_ISDIR(seen.st_mode) else FILE))
    except FileNotFoundError:  # not created yet, or removed meanwhile
        return True
    except OSError:
        return False
    return True
