"""Reads a book from a file: EPUB, plain text or Markdown."""

from __future__ import annotations

from dataclasses import replace

from serve_app.books.book import Book
from serve_app.books.epub import read_epub
from serve_app.books.limits import BookLimits, refused
from serve_app.books.plain import read_markdown, read_text

_READERS = {"txt": read_text, "text": read_text, "md": read_markdown, "markdown": read_markdown}
ALLOWED = ".epub, .txt or .md"
_ZIP = b"PK\3\4"
_FOREIGN = {  # what the file begins with
    b"%PDF": "a PDF",
    b"{\\rtf": "an RTF document",
    b"\xd0\xcf\x11\xe0": "a Word document",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x8b": "a gzip file",
    b"ITSF": "a CHM file",
}
_PALM = ((60, b"BOOKMOBI"), (60, b"TEXtREAd"))


def read_book(data: bytes, name: str, limits: BookLimits | None = None) -> Book:
    """name: of the uploaded file, whose ending distinguishes Markdown from plain text.

    Raises InvalidInput (param "file") for a file that is not one of these, is protected or damaged, has no text, or
    exceeds `limits`. What can be left out of the book is a warning instead.
    """
    limits = BookLimits() if limits is None else limits
    if not data:
        raise refused("the file is empty")
    if len(data) > limits.file:
        raise refused(f"it has {len(data)} bytes (allowed: up to {limits.file})", "too_large")
    if kind := _foreign(data):
        raise refused(f"it is {kind} (allowed: {ALLOWED})", "unsupported_format")
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    if data.startswith(_ZIP):
        book = read_epub(data, limits)
        return (
            book if ending == "epub" else replace(book, warnings=("it was read as an EPUB", *book.warnings))
        )
    if ending == "epub":
        raise refused(
            f"it is not an EPUB, although its name ends in .epub (allowed: {ALLOWED})", "unsupported_format"
        )
    if ending not in _READERS:
        raise refused(f"its name must end in {ALLOWED}", "unsupported_format")
    return _READERS[ending](data, name, limits)


def _foreign(data: bytes) -> str | None:
    if any(data.startswith(mark, at) for at, mark in _PALM):
        return "a Kindle book"
    return next((kind for mark, kind in _FOREIGN.items() if data.startswith(mark)), None)
