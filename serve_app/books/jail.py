"""The process that reads untrusted books: `python -m serve_app.books.jail`, started by `sandbox`."""

from __future__ import annotations

import codecs
import encodings
import pkgutil
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from deployments.contract.errors import InvalidInput
from serve_app.books.book import Book
from serve_app.books.edition import Spoken, silent_edition
from serve_app.books.markup import parse_xhtml
from serve_app.books.read import read_book
from serve_app.sandbox.jail import Jail, serve

CPU_S = 60
WALL_S = 180.0  # the CPU may be busy with speech
MEMORY = 1536 * 2**20
BOOK, SPOKEN = TypeAdapter(Book), TypeAdapter(Spoken)


def _warm_up() -> None:
    for module in pkgutil.iter_modules(encodings.__path__):  # a book may be in any of them
        with suppress(Exception):  # of other systems
            codecs.lookup(module.name)
    for data, name in (
        ("第一章\n\n天地玄黄，宇宙洪荒。\n".encode("gb18030") * 9, "a.txt"),
        (b"---\ndate: 2001-01-02\n---\n# One\n\n| a | b |\n|---|---|\n| 1 | [2](x) |\n", "a.md"),
    ):
        BOOK.dump_json(read_book(data, name))
    parse_xhtml(b'<meta charset="gbk"><p>&nbsp;<b>', "")
    with suppress(InvalidInput):
        read_book(b"PK\3\4", "a.epub")


def _answer(data: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    if (size := request.get("spoken")) is not None:
        return _edition(data[size:], SPOKEN.validate_json(data[:size]), request["name"])
    return _book(data, request["name"])


def _edition(epub: bytes, spoken: Spoken, name: str) -> tuple[dict[str, Any], bytes]:
    """The answer: the folder of the sounds, then the edition."""
    book = replace(read_book(epub, name), about=spoken.about)
    edition = silent_edition(epub, book, spoken.timeline, spoken.now)
    return {"folder": edition.folder}, edition.data


def _book(data: bytes, name: str) -> tuple[dict[str, Any], bytes]:
    """The answer: the size of the cover, then the cover and the rest as JSON."""
    book = read_book(data, name)
    cover = book.cover or b""
    return {"cover": len(cover)}, cover + BOOK.dump_json(replace(book, cover=None), exclude_defaults=True)


JAIL = Jail(CPU_S, WALL_S, MEMORY, _warm_up, _answer)

if __name__ == "__main__":
    serve(JAIL)
