"""Reads untrusted books in a restricted process, which runs `jail`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache

from pydantic import ValidationError

from serve_app.books.book import Book
from serve_app.books.edition import Edition, Spoken
from serve_app.books.jail import BOOK, SPOKEN, WALL_S
from serve_app.books.limits import PARAM
from serve_app.sandbox.process import Answer, JailedProcess, broken

WORKERS = 2  # books read at once
WAITING = 8  # books that may wait
LARGEST = 192 * 2**20  # bytes of a book as JSON; 20 million characters in short paragraphs have 120 MiB


class Sandbox(JailedProcess):
    """Reads books in child processes with limits. Safe to use from any thread and event loop."""

    def __init__(self, workers: int = WORKERS, waiting: int = WAITING) -> None:
        super().__init__("serve_app.books.jail", "book", WALL_S, workers, waiting)

    async def read(self, data: bytes, name: str) -> Book:
        """Runs `read_book` with the default limits. Raises as it does, and as `ask`."""
        answer = await self.ask(data, {"name": name, "param": PARAM}, LARGEST)
        return await asyncio.to_thread(_book, answer)

    def edition(self, epub: bytes, spoken: Spoken) -> Edition:
        """Runs `silent_edition` on the book in `epub`. Blocks. Raises as it does (param "read_along"), and as `ask`."""
        head = SPOKEN.dump_json(spoken)
        request = {"name": "book.epub", "spoken": len(head), "param": "read_along"}
        said, data = self.ask_blocking(head + epub, request, len(epub) + LARGEST)
        folder = said.get("folder")
        if not isinstance(folder, str):
            raise broken("read_along")
        return Edition(data, folder)


@cache
def shared() -> Sandbox:
    """The sandbox of this process. It starts with the first book."""
    return Sandbox()


def _book(answer: Answer) -> Book:
    """Checks the type of every field, because the file may have taken control of the child."""
    said, data = answer
    size = said.get("cover")
    if not isinstance(size, int) or not 0 <= size <= len(data):
        raise broken(PARAM)
    try:
        book = BOOK.validate_json(memoryview(data)[size:].tobytes(), strict=True)
    except ValidationError:
        raise broken(PARAM) from None
    return replace(book, cover=data[:size] or None)
