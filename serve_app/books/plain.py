"""Reads .txt and Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from markdown_it import MarkdownIt

from serve_app.books import gutenberg, headings, lines, markdown
from serve_app.books.book import About, Block, Book
from serve_app.books.chapter_lines import stands_alone
from serve_app.books.chapters import Start, find_chapters
from serve_app.books.charset import decoded
from serve_app.books.limits import BookLimits, refused
from serve_app.books.matter import Draft, judged
from serve_app.books.xhtml import read_document

_UNDIVIDED = 60_000  # characters: a text without chapters is divided if it is longer
_PART = 30_000  # characters of a part, about
_BEGINNING = "Beginning"
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8}){0,4}")


def read_text(data: bytes, name: str, limits: BookLimits) -> Book:
    """A .txt file. Raises InvalidInput (param "file")."""
    text, warnings = _decoded(data, limits)
    text, fields = gutenberg.stripped(text)
    groups = lines.paragraphs(text, stands_alone)
    known = lines.words_of(text).__contains__
    blocks = [[Block(part) for part in lines.cut(lines.unwrapped(group, known))] for group in groups]
    found = find_chapters(groups)
    return _book(
        _drafts(blocks, found.starts, found.contents),
        _about({k: [v] for k, v in fields.items()}, name),
        warnings,
        limits,
    )


def read_markdown(data: bytes, name: str, limits: BookLimits) -> Book:
    """A Markdown file: CommonMark with tables; front matter in YAML gives the metadata. Raises InvalidInput."""
    text, warnings = _decoded(data, limits)
    text, fields = markdown.front_matter(text)
    html = MarkdownIt("commonmark").enable("table").render(markdown.plain(text))
    passages = read_document(f"<html><body>{html}</body></html>".encode(), name, limits).passages
    blocks = [[Block(part, p.kind) for part in lines.cut(p.text)] for p in passages]
    levels, texts = [p.level for p in passages], [p.text for p in passages]
    found = find_chapters([text.split("\n") for text in texts])
    chosen = found.starts
    if not any(start.marker for start in chosen):
        title, first = headings.split_title(levels, texts)
        if title:
            fields.setdefault("title", [title])
        of_headings = headings.starts([0] * first + levels[first:], texts)
        chosen = tuple(Start(at, title) for at, title in of_headings) or chosen
    return _book(_drafts(blocks, chosen, None), _about(fields, name), warnings, limits)


def _decoded(data: bytes, limits: BookLimits) -> tuple[str, list[str]]:
    if not data.strip():
        raise refused("the file is empty")
    text, warnings = decoded(data)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > limits.characters:
        raise refused(f"it has {len(text)} characters (allowed: up to {limits.characters})")
    if text.count("\n") > limits.lines:
        raise refused(f"it has more than {limits.lines} lines")
    return text, warnings


def _drafts(
    blocks: list[list[Block]], starts: Sequence[Start], contents: tuple[int, int] | None
) -> list[Draft]:
    """blocks: of each paragraph of the file; text before the first chapter becomes a chapter without a number."""
    opens = {start.at: start for start in starts}
    draft = Draft(_BEGINNING)
    drafts = [draft]
    heading = -1
    for at, paragraph in enumerate(blocks):
        if contents and at == contents[0]:
            draft = Draft("Contents", types=frozenset(("toc",)))
            drafts.append(draft)
        if start := opens.get(at):
            draft = Draft(start.title)
            drafts.append(draft)
            heading = at + start.size
            if start.marker:
                continue
        elif contents and at == contents[1]:
            draft = Draft(_BEGINNING)
            drafts.append(draft)
        draft.blocks += (replace(block, kind="heading") for block in paragraph) if at < heading else paragraph
    for draft in drafts:
        draft.blocks = [block for block in draft.blocks if any(map(str.isalnum, block.text))]
    drafts = [draft for draft in drafts if draft.blocks]
    return drafts if starts else _divided(drafts)


def _divided(drafts: list[Draft]) -> list[Draft]:
    """A long text without chapters as parts of about `_PART` characters, so that a player can seek in it."""
    if sum(draft.characters for draft in drafts) <= _UNDIVIDED:
        return drafts
    parts: list[Draft] = []
    size = _PART
    for draft in drafts:
        for block in draft.blocks:
            if size >= _PART:
                parts.append(Draft(f"Part {len(parts) + 1}"))
                size = 0
            parts[-1].blocks.append(block)
            size += len(block.text)
    return parts


def _book(drafts: list[Draft], about: About, warnings: list[str], limits: BookLimits) -> Book:
    if not drafts:
        raise refused("it contains no text to speak")
    if len(drafts) > limits.chapters:
        raise refused(f"it has {len(drafts)} chapters (allowed: up to {limits.chapters})")
    chapters, more = judged(drafts)
    if len(chapters) == 1:
        chapters = (
            replace(chapters[0], title=about.title if chapters[0].title == _BEGINNING else chapters[0].title),
        )
    return Book(about, chapters, warnings=(*warnings, *more))


def _about(fields: Mapping[str, Sequence[str]], name: str) -> About:
    """name: of the file, whose stem is the title if there is no other."""

    def first(*names: str) -> str:
        return next((fields[each][0] for each in names if each in fields), "")

    language = first("language", "lang")
    return About(
        title=first("title") or PurePosixPath(name.replace("\\", "/")).stem[: markdown.FIELD],
        authors=tuple(fields.get("author") or fields.get("authors") or ()),
        narrator=first("narrator"),
        language=language if _LANGUAGE.fullmatch(language) else None,
        description=first("description"),
        publisher=first("publisher"),
        date=first("date"),
        isbn=first("isbn"),
        series=first("series"),
        part=first("part"),
    )
