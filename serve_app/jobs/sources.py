"""What a job reads: an uploaded file, or the text or script of a request."""

from __future__ import annotations

import asyncio
import json
from pathlib import PurePath

from deployments.contract.errors import InvalidInput
from serve_app.books import sandbox
from serve_app.books.book import Book
from serve_app.books.limits import PARAM
from serve_app.books.script import read_script

TEXT, SCRIPT = "text.txt", "script.json"  # the names of a text and a script that came in a request
TITLE = 60  # characters of a text that are its title
ZIP = b"PK\3\4"


async def read(data: bytes, name: str) -> Book:
    """Raises InvalidInput (param "file", "input" or "script"), Overloaded, Unavailable and SynthesisFailed."""
    if name == SCRIPT:
        return await asyncio.to_thread(lambda: read_script(json.loads(data)))
    try:
        return await sandbox.shared().read(data, name)
    except InvalidInput as error:
        if name == TEXT and error.param == PARAM:
            error.param, error.message = "input", error.message.replace(f"'{PARAM}'", "'input'")
        raise


def title_of(book: Book, name: str) -> str:
    """What a book is called that has no title."""
    if name not in (TEXT, SCRIPT):
        return PurePath(name).stem
    texts = (block.text for chapter in book.chapters for block in chapter.blocks)
    words = " ".join(next(texts, "").split())
    return words if len(words) <= TITLE else words[:TITLE].rpartition(" ")[0] or words[:TITLE]


def is_epub(data: bytes) -> bool:
    """Whether `read` takes it for an EPUB."""
    return data.startswith(ZIP)
