"""The input of a job: an uploaded file, or the text or script of a request."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import PurePath

from deployments.contract.errors import InvalidInput
from serve_app.books import sandbox
from serve_app.books.book import Book
from serve_app.books.limits import PARAM
from serve_app.books.script import read_script

TEXT, SCRIPT = "input/text.txt", "input/script.json"  # of a request; no uploaded file has such a name
TITLE = 60  # characters of a text that are its title
ZIP = b"PK\3\4"


async def read(data: bytes, name: str) -> Book:
    """Raises InvalidInput (param "file", "input" or "script"), Overloaded, Unavailable and SynthesisFailed."""
    if name == SCRIPT:
        return await asyncio.to_thread(lambda: read_script(json.loads(data)))
    try:
        book = await sandbox.shared().read(data, name)
    except InvalidInput as error:
        if name == TEXT and error.param == PARAM:
            error.param, error.message = "input", error.message.replace(f"'{PARAM}'", "'input'")
        raise
    if name == TEXT and book.about.title == PurePath(TEXT).stem:  # it has no title of its own
        return replace(book, about=replace(book.about, title=""))
    return book


def title_of(book: Book, name: str) -> str:
    """The title of a book that has none."""
    if name not in (TEXT, SCRIPT):
        return PurePath(name).stem
    texts = (block.text for chapter in book.chapters for block in chapter.blocks)
    words = " ".join(next(texts, "").split())
    return words if len(words) <= TITLE else words[:TITLE].rpartition(" ")[0] or words[:TITLE]


def is_epub(data: bytes) -> bool:
    """Whether `read` reads it as an EPUB."""
    return data.startswith(ZIP)
