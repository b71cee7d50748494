"""A book as data: what the readers find in a file and the writers need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

BlockKind = Literal["heading", "paragraph", "item", "image"]


@dataclass(frozen=True, slots=True)
class Source:
    """The position of a block in an EPUB, from which `xhtml.passages_of` finds it again.

    href: the name of its XHTML document in the archive; path: the XPath of its element; part: which passage of that
    element, as text between other blocks is a passage of its own.
    """

    href: str
    path: str
    part: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading or list item: what is spoken between two longer pauses.

    text: with single blanks for white space, "\\n" where a line ends that is not merely wrapped; source: None for plain
    text; speaker: of a script's line, else None.
    """

    text: str
    kind: BlockKind = "paragraph"
    source: Source | None = None
    speaker: str | None = None


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
