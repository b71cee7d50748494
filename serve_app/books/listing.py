"""The content found in a book, for the user to check before it is spoken."""

from __future__ import annotations

from typing import Any

from deployments.contract.errors import InvalidInput
from serve_app.books.book import Book
from serve_app.books.cover import read_cover


def listing(book: Book) -> dict[str, Any]:
    """The answer of a dry run: title, authors, language, cover, chapters and warnings, as JSON has them."""
    return {
        "title": book.about.title,
        "authors": list(book.about.authors),
        "language": book.about.language,
        "cover": _cover(book),
        "chapters": [
            {
                "index": i,
                "title": chapter.title,
                "characters": chapter.characters,
                "included": chapter.included,
                "reason": chapter.reason,
            }
            for i, chapter in enumerate(book.chapters)
        ],
        "warnings": list(book.warnings),
    }


def _cover(book: Book) -> dict[str, Any] | None:
    """The size of the book's cover in pixels, None without a usable one."""
    try:
        cover = read_cover(book.cover or b"")
    except InvalidInput:
        return None
    return {"media_type": cover.media_type, "width": cover.width, "height": cover.height}
