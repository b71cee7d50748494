"""What a job reads: an uploaded file, or the text of a request."""

from __future__ import annotations

import re

from deployments.contract.errors import InvalidInput
from serve_app.books.book import About, Block, Book, Chapter
from serve_app.jobs.request import JobOptions

TEXT, SCRIPT = "text.txt", "script.json"  # the names of a text and a script that came in a request


def read(data: bytes, name: str) -> Book:
    """name: of the file; its ending says what it is. Raises InvalidInput (param "file")."""
    if name != TEXT:
        raise InvalidInput("Invalid 'file': must be a text.", param="file")
    paragraphs = re.split(r"\n[ \t]*\n", data.decode())
    blocks = tuple(Block(" ".join(text.split())) for text in paragraphs if text.strip())
    return Book(About(), (Chapter("", blocks),))


def pronounced(text: str, options: JobOptions) -> str:
    return text
