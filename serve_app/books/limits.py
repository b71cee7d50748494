"""Limits on the size of a book. An upload is untrusted, so each reader checks them before it allocates."""

from __future__ import annotations

import time
from dataclasses import dataclass

from deployments.contract.errors import InvalidInput

PARAM = "file"


@dataclass(frozen=True, slots=True)
class BookLimits:
    """Sizes in bytes unless named otherwise. The largest novels have 4 million characters, web novels 20 million."""

    file: int = 200 * 2**20
    entries: int = 20_000  # files in an EPUB
    directory: int = 4 * 2**20  # the list of files in an EPUB
    document: int = 16 * 2**20  # one file of an EPUB, unpacked
    unpacked: int = 128 * 2**20  # all that is read from an EPUB, unpacked
    ratio: int = 200  # unpacked to packed size of a large file; text reaches 10, tables 50
    chapters: int = 10_000
    characters: int = 20_000_000
    tags: int = 2_000_000  # in all documents of an EPUB
    lines: int = 2_000_000  # of a text file
    seconds: float = 30.0  # of CPU time for the text of an EPUB; the largest novel takes one
    depth: int = 250  # nested elements; libxml2 itself stops at 256


class Budget:
    """The CPU time that is left to the calling thread."""

    def __init__(self, limits: BookLimits) -> None:
        self._seconds = limits.seconds
        self._end = time.thread_time() + limits.seconds

    def check(self) -> None:
        """Raises InvalidInput if no time is left."""
        if time.thread_time() > self._end:
            raise refused(f"reading it takes more than {self._seconds:g} s")


def refused(reason: str, code: str | None = None) -> InvalidInput:
    """The error for a book that cannot be read. reason: a clause without a full stop."""
    return InvalidInput(f"Invalid '{PARAM}': {reason}.", param=PARAM, code=code)
