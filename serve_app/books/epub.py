"""Reads EPUB 2 and 3: the spine's text, cut into chapters by the contents list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deployments.contract.errors import printable
from serve_app.books import headings
from serve_app.books.archive import Archive
from serve_app.books.book import Block, Book
from serve_app.books.chapter_lines import is_heading, is_part
from serve_app.books.chapters import find_chapters
from serve_app.books.limits import BookLimits, Budget, refused
from serve_app.books.matter import Draft, is_matter, judged
from serve_app.books.metadata import about_of, cover_of
from serve_app.books.navigation import Entry, read_navigation
from serve_app.books.package import Package, read_package
from serve_app.books.xhtml import Document, read_document

_FEW = 3  # places in the contents, below which headings begin chapters, too
_NAMED = 5  # items of a warning
_CHAPTER = frozenset(
    "chapter prologue epilogue foreword preface introduction afterword conclusion appendix dedication part "
    "doc-chapter doc-prologue doc-epilogue doc-foreword doc-preface doc-introduction doc-afterword doc-part".split()
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A document of the spine. levels, linked: of each block; begin: the number of blocks before it."""

    name: str
    title: str
    types: frozenset[str]
    anchors: dict[str, int]
    linear: bool
    begin: int


@dataclass(slots=True)
class _Text:
    """All blocks of the book in order. levels: of headings, else 0; linked: characters of links."""

    blocks: list[Block]
    levels: list[int]
    linked: list[int]
    sheets: list[Sheet]
    warnings: list[str]


def read_epub(data: bytes, limits: BookLimits) -> Book:
    """Raises InvalidInput (param "file") for what is not an EPUB, is protected, exceeds `limits` or has no text."""
    archive = Archive(data, limits)
    package = read_package(archive)
    navigation = read_navigation(package, archive)
    about = about_of(package)
    text = _text_of(package, archive, limits, navigation.landmarks)
    if not text.blocks:
        raise refused("it contains no text to speak")
    starts = _starts(text, navigation.entries)
    if len(starts) > limits.chapters:
        raise refused(f"it has {len(starts)} chapters (allowed: up to {limits.chapters})")
    chapters, more = judged(_drafts(text, starts, about.title))
    cover = cover_of(package, archive)
    return Book(about, chapters, cover, (*package.warnings, *text.warnings, *more))


def _text_of(package: Package, archive: Archive, limits: BookLimits, landmarks: dict[str, set[str]]) -> _Text:
    text = _Text([], [], [], [], [])
    characters, tags, budget = 0, limits.tags, Budget(limits)
    unsound: list[str] = []
    empty: list[str] = []
    for item, linear in package.spine:
        data = archive.read(item.name)
        tags -= data.count(b"<")
        if tags < 0:
            raise refused(f"it has more than {limits.tags} tags")
        document = read_document(data, printable(item.name), limits, budget)
        passages = document.passages
        characters += sum(len(passage.text) for passage in passages)
        if characters > limits.characters:
            raise refused(f"it has more than {limits.characters} characters")
        if not document.sound:
            unsound.append(item.name)
        if not passages:
            empty.append(item.name)
        types = document.types | landmarks.get(item.name, set()) | package.guide.get(item.name, set())
        if package.nav is not None and item.name == package.nav.name:
            types |= {"toc"}
        text.sheets.append(
            Sheet(item.name, _title(document), types, document.anchors, linear, len(text.blocks))
        )
        text.blocks += (Block(p.text, p.kind, p.source(item.name)) for p in passages)
        text.levels += (p.level for p in passages)
        text.linked += (p.linked for p in passages)
    text.warnings += _warning(
        unsound,
        "is not well-formed XHTML and was read as HTML",
        "are not well-formed XHTML and were read as HTML",
    )
    text.warnings += _warning(empty, "contains no text", "contain no text")
    return text


def _title(document: Document) -> str:
    heading = next((p.text for p in document.passages[:3] if p.kind == "heading"), "")
    return heading[:200].replace("\n", " ") or document.title


def _starts(text: _Text, entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """The blocks at which chapters begin, in order, and their titles."""
    sheets = {sheet.name: i for i, sheet in enumerate(text.sheets)}
    named = {entry.name for entry in entries}
    titles: dict[int, str] = {}
    parents: list[Entry] = []
    for entry in entries:
        del parents[entry.depth :]
        i = sheets.get(entry.name)
        if i is not None and not _is_section(entry, parents) and not _is_blank_before(text, i, named):
            at = _place(text, i, entry)
            known = not entry.fragment or entry.fragment in text.sheets[i].anchors
            if known or at not in titles:
                _add(titles, at, entry.title)
        parents.append(entry)
    few = len(titles) < _FEW
    if few:
        for at, title in _by_text(text):
            titles.setdefault(at, title)
    for i, sheet in enumerate(text.sheets):
        if sheet.begin < _end(text, i) and sheet.begin not in titles:
            first = text.blocks[sheet.begin]
            begins = sheet.types & _CHAPTER or first.kind == "heading" and (few or is_heading(first.text))
            if sheet.name not in named and begins or sheet.begin < min(titles, default=len(text.blocks)):
                titles[sheet.begin] = sheet.title
    return sorted((at, title) for at, title in titles.items() if at < len(text.blocks))


def _by_text(text: _Text) -> list[tuple[int, str]]:
    """Where the headings begin chapters; without any, the paragraphs that read like one, as converters make them."""
    texts = [block.text for block in text.blocks]
    if any(text.levels):
        return headings.starts(text.levels, texts)
    found = find_chapters([each.split("\n") for each in texts])
    return [(start.at, start.title) for start in found.starts if not start.marker]


def _is_section(entry: Entry, parents: Sequence[Entry]) -> bool:
    """Whether it is a section of a chapter: below an entry of the same document that is not a part."""
    parent = parents[-1] if parents else None
    if parent is None or parent.name != entry.name or not entry.fragment:
        return False
    return not (is_part(parent.title) or is_heading(entry.title) or is_matter(entry.title))


def _is_blank_before(text: _Text, i: int, named: set[str]) -> bool:
    """Whether a document has no text, and the next one with text has its own entry."""
    following = i
    while following < len(text.sheets) and text.sheets[following].begin == _end(text, following):
        following += 1
    return following > i and (following == len(text.sheets) or text.sheets[following].name in named)


def _place(text: _Text, i: int, entry: Entry) -> int:
    """The block that an entry points to; the document's first one if only headings or pictures precede it."""
    sheet = text.sheets[i]
    at = sheet.begin + sheet.anchors.get(entry.fragment, 0)
    if is_matter(entry.title):
        return at
    if (
        all(
            block.kind in ("heading", "image")
            for block in text.blocks[sheet.begin : min(at, sheet.begin + 4)]
        )
        and at - sheet.begin < 4
    ):
        return sheet.begin
    return at


def _end(text: _Text, i: int) -> int:
    return text.sheets[i + 1].begin if i + 1 < len(text.sheets) else len(text.blocks)


def _add(titles: dict[int, str], at: int, title: str) -> None:
    """Merges two entries for one place, such as a part and its first chapter, into one title."""
    known = titles.get(at)
    titles[at] = title if not known or known == title else f"{known}. {title}" if title else known


def _drafts(text: _Text, starts: Sequence[tuple[int, str]], title: str) -> list[Draft]:
    borders = [*(at for at, _ in starts), len(text.blocks)]
    drafts = []
    sheet = 0
    for (begin, name), end in zip(starts, borders[1:], strict=True):
        while sheet + 1 < len(text.sheets) and text.sheets[sheet + 1].begin <= begin:
            sheet += 1
        blocks = text.blocks[begin:end]
        whole = begin == text.sheets[sheet].begin
        size = sum(len(block.text) for block in blocks)
        drafts.append(
            Draft(
                name or _heading(blocks) or title or f"Chapter {len(drafts) + 1}",
                blocks,
                text.sheets[sheet].types if whole else frozenset(),
                sum(text.linked[begin:end]) / max(size, 1),
                text.sheets[sheet].linear,
            )
        )
    return drafts


def _heading(blocks: Iterable[Block]) -> str:
    return next((block.text for block in blocks if block.kind == "heading"), "")


def _warning(names: Sequence[str], one: str, many: str) -> list[str]:
    """One line for all files with the same fault."""
    if not names:
        return []
    shown = ", ".join(printable(name) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"{shown}{more} {one if len(names) == 1 else many}"]
