"""Describes the book in a file, for `chorale book`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from serve_app.books.book import Book
from serve_app.books.limits import BookLimits, refused
from serve_app.books.listing import listing
from serve_app.books.read import read_book


def read_file(file: Path) -> Book:
    """Raises InvalidInput as `read_book` does, and OSError."""
    limits = BookLimits()
    size = file.stat().st_size
    if size > limits.file:
        raise refused(f"it has {size} bytes (allowed: up to {limits.file})", "too_large")
    return read_book(file.read_bytes(), file.name, limits)


def as_json(book: Book) -> str:
    return json.dumps(listing(book), ensure_ascii=False, indent=1)


def heading(book: Book) -> str:
    """Title, authors and language, as far as the file gives them."""
    about = book.about
    people = f" by {', '.join(about.authors)}" if about.authors else ""
    return f"{about.title or 'Untitled'}{people}{f' [{about.language}]' if about.language else ''}"


def rows(book: Book) -> Iterator[tuple[str, str, str, str]]:
    """A row for each chapter: index, title, characters, and whether it is spoken or why not."""
    for i, chapter in enumerate(book.chapters):
        spoken = "yes" if chapter.included else f"no: {chapter.reason}"
        yield str(i), chapter.title, f"{chapter.characters:,}", spoken


def remarks(book: Book) -> Iterator[str]:
    spoken = [chapter for chapter in book.chapters if chapter.included]
    characters = sum(chapter.characters for chapter in spoken)
    yield f"{len(spoken)} of {len(book.chapters)} chapters are included: {characters:,} characters."
    yield from (f"Warning: {warning}." for warning in book.warnings)
