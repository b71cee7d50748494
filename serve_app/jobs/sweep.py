"""Deletes files that no job uses: a killed process stored but did not record them, and its job was deleted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath

from serve_app.jobs.access import Stores

SKEW_S = 60.0  # between the clocks of runners, database and store, and for a runner to end a deleted job
SUBMITTING_S = 3600.0  # longer than a submission takes, which stores its files before its job
BATCH = 500  # names in one query


def sweep(stores: Stores, stop: threading.Event) -> int:
    """Returns the number of deleted sounds and folders. Blocks; ends early when `stop` is set.

    A sound that is newer than the oldest job in progress is kept: a runner may be about to record it, or to find it
    when it resumes. Raises DatabaseAway, and what the store raises.
    """
    now, audio = time.time(), stores.audio
    begun = stores.jobs.oldest_begun()
    sounds = audio.older("sounds", (now if begun is None else min(begun, now)) - SKEW_S)
    deleted = 0
    for key in _unknown(sounds, lambda key: PurePosixPath(key).stem, stores.jobs.used, stop):
        audio.delete(key)
        deleted += 1
    for folder in ("uploads", "outputs", "scratch"):
        files = audio.older(folder, now - SUBMITTING_S)
        owners = dict.fromkeys(f"{folder}/{key.split('/')[1]}" for key in files)
        for key in _unknown(owners, lambda key: key.split("/")[1], stores.jobs.existing, stop):
            audio.delete(key)
            deleted += 1
    return deleted


def _unknown(
    keys: Iterable[str],
    name_of: Callable[[str], str],
    known: Callable[[list[str]], set[str]],
    stop: threading.Event,
) -> Iterator[str]:
    """The keys whose names are not in the database."""
    left = list(keys)
    while left and not stop.is_set():
        batch, left = left[:BATCH], left[BATCH:]
        found = known([name_of(key) for key in batch])
        yield from (key for key in batch if name_of(key) not in found)
