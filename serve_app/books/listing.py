"""The content found in a book, for the user to check before it is spoken."""

from __future__ import annotations

from typing import Any

from serve_app.books.book import Book


def listing(book: Book) -> dict[str, Any]:
    """The answer of a dry run: title, authors, language, chapters and warnings, as JSON has them."""
    return {
        "title": book.about.title,
        "authors": list(book.about.authors),
        "language": book.about.language,
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
