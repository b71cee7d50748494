"""A read-along: the book's own EPUB with its sound. Reading systems highlight each sentence while it is spoken."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from serve_app.books import audiobook
from serve_app.books.audiobook import Contents, completed
from serve_app.books.edition import Edition, audio_name, entry
from serve_app.books.timeline import Mark, Timeline


def write_read_along(
    path: Path, edition: Edition, timeline: Timeline, sound: Callable[[int, int], Iterable[np.ndarray]]
) -> None:
    """Writes the EPUB. It appears under its name when it is complete.

    edition: made with the same timeline; sound: returns the sound between two samples of the timeline, float32 (N,)
    blocks with their final level.
    """
    with completed(path) as draft:
        draft.write_bytes(edition.data)
        with zipfile.ZipFile(draft, "a") as out:
            for number, mark in enumerate(timeline.marks, 1):
                name, blocks = audio_name(edition.folder, number), sound(mark.begin, mark.end)
                _add_sound(out, name, mark, blocks, timeline.rate, path.parent)


def _add_sound(
    out: zipfile.ZipFile, name: str, mark: Mark, sound: Iterable[np.ndarray], rate: int, folder: Path
) -> None:
    """As MP3, which all reading systems play."""
    with tempfile.TemporaryDirectory(prefix=".read-along-", dir=folder) as drafts:
        file = Path(drafts, "chapter.mp3")
        audiobook.write(file, "mp3", sound, rate, Contents({"title": mark.title}, {}))
        with file.open("rb") as source, out.open(entry(name, zipfile.ZIP_STORED), "w") as target:
            shutil.copyfileobj(source, target, 1 << 20)
