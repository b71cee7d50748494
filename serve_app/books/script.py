"""A script: [{"speaker": "anna", "text": "…"}], as a book for several voices, and a book as a script to edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deployments.contract.errors import InvalidInput, printable, unknown_fields
from serve_app.books.book import About, Block, Book, Chapter
from serve_app.books.limits import BookLimits

PARAM = "script"
_SPEAKER, _TITLE = 64, 300  # characters
_FIELDS = frozenset(("speaker", "text", "chapter"))


def read_script(lines: object, title: str = "", limits: BookLimits | None = None) -> Book:
    """lines: the parsed JSON. Each has a text, and optionally a speaker, and a chapter's title where one begins.

    Raises InvalidInput (param "script").
    """
    limits = BookLimits() if limits is None else limits
    if not isinstance(lines, Sequence) or isinstance(lines, str | bytes) or not lines:
        raise _refused("must be a list of at least one {speaker, text}")
    chapters: list[tuple[str, list[Block]]] = []
    characters = 0
    for i, line in enumerate(lines):
        if not isinstance(line, Mapping):
            raise _refused(f"line {i} must be an object with speaker and text")
        if unknown := [str(name) for name in line if name not in _FIELDS]:
            raise unknown_fields(unknown, f" In {PARAM}, line {i}; allowed: speaker, text, chapter.")
        speaker = _text(line.get("speaker"), i, "speaker", _SPEAKER)
        chapter = _text(line.get("chapter"), i, "chapter", _TITLE)
        text = _text(line.get("text"), i, "text", limits.characters)
        if not text:
            raise _refused(f"line {i} has no text")
        characters += len(text)
        if characters > limits.characters:
            raise _refused(f"it has more than {limits.characters} characters")
        if chapter or not chapters:
            chapters.append((chapter or title, []))
        chapters[-1][1].append(Block(text, speaker=speaker or None))
    if len(chapters) > limits.chapters:
        raise _refused(f"it has {len(chapters)} chapters (allowed: up to {limits.chapters})")
    return Book(About(title=title), tuple(Chapter(name, tuple(blocks)) for name, blocks in chapters))


def script_of(book: Book) -> list[dict[str, str]]:
    """The included chapters as a script that `read_script` accepts."""
    lines: list[dict[str, str]] = []
    for chapter in book.chapters:
        for i, block in enumerate(chapter.blocks if chapter.included else ()):
            named = {"chapter": chapter.title[:_TITLE]} if i == 0 else {}
            lines.append(named | {"speaker": block.speaker or "", "text": block.text})
    return lines


def speakers_of(book: Book) -> tuple[str, ...]:
    """In the order in which they first speak."""
    speakers = (block.speaker for chapter in book.chapters for block in chapter.blocks)
    return tuple(dict.fromkeys(filter(None, speakers)))


def _text(value: object, i: int, name: str, most: int) -> str:
    """With single blanks; "" for None."""
    if value is not None and not isinstance(value, str):
        raise _refused(f"{name} of line {i} must be text")
    text = "\n".join(filter(None, (" ".join(line.split()) for line in (value or "").splitlines())))
    if any((ord(c) < 32 and c != "\n") or c == "\x7f" or 0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise _refused(f"{name} of line {i} must be valid Unicode text without control characters")
    if len(text) > most:
        raise _refused(
            f"{name} of line {i} ({printable(text, 20)!r}) has {len(text)} characters (allowed: up to {most})"
        )
    return text


def _refused(reason: str) -> InvalidInput:
    return InvalidInput(f"Invalid '{PARAM}': {reason}.", param=PARAM)
