"""A book as data: what a reader finds in a file, and what the writers need of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

BlockKind = Literal["heading", "paragraph", "item", "image"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a block stands in an EPUB. href: of its XHTML document in the package; path: the XPath of its element."""

    href: str
    path: str


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading or list item: what is spoken between two longer pauses.

    text: with single blanks for white space; source: None for plain text.
    """

    text: str
    kind: BlockKind = "paragraph"
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Chapter:
    """included: whether it is spoken unless the user says otherwise; reason: why it is not."""

    title: str
    blocks: tuple[Block, ...]
    included: bool = True
    reason: str | None = None

    @property
    def characters(self) -> int:
        return sum(len(block.text) for block in self.blocks)


@dataclass(frozen=True, slots=True)
class About:
    """The metadata of a book, as its file gives them."""

    title: str = ""
    authors: tuple[str, ...] = ()
    narrator: str = ""
    language: str | None = None  # BCP 47
    description: str = ""
    publisher: str = ""
    date: str = ""  # ISO 8601, or a year
    isbn: str = ""
    series: str = ""
    part: str = ""  # the number in the series
    genres: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Book:
    """cover: a JPEG or PNG file; warnings: what the reader could not use, for the user."""

    about: About
    chapters: tuple[Chapter, ...]
    cover: bytes | None = None
    warnings: tuple[str, ...] = field(default_factory=tuple)
