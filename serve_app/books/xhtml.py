"""The passages of an XHTML document, and the position of each of their characters in the document.

The EPUB reader takes its text from here; the read-along writer puts elements around it. Both call `passages_of`, so
they agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from serve_app.books.book import BlockKind, Source
from serve_app.books.furniture import is_furniture, local_name, types_of
from serve_app.books.limits import BookLimits, Budget, refused
from serve_app.books.lines import CJK, is_cjk
from serve_app.books.markup import Element, parse_xhtml, text_of
from serve_app.books.pictures import alt_of, formula_of
from serve_app.books.table import is_row

_BLOCKS = frozenset(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol p pre section summary table tbody "
    "td tfoot th thead tr ul".split()
)
_ITEMS = frozenset("li dt dd".split())
_CELLS = frozenset("td th".split())
_BREAK, _BLANK, _WRAP = "\n", " ", "\r"  # <br>, a blank, a line end of the file
_WORD = r"[^\s\xad\u200b\u2060\ufeff]+"  # no soft hyphen or mark of no width
# with single blanks between them; a line end between two Chinese characters is not one
_WORDS = re.compile(rf"{_WORD}(?:(?:[^\S\n]|(?<![{CJK}])\n|\n(?![{CJK}])){_WORD})*")
_SPACE = re.compile(r"\s")
_LEVEL = 2  # of a heading that does not give it
_GLYPH = 3  # characters: the alt text of a picture of a letter


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive characters of a passage in one text node of the document.

    Passage.text[begin:end] is node[offset : offset + end - begin], but for blanks, which may be other white space
    there. The node is `element.tail` if `tail` is set, else `element.text`.
    """

    begin: int
    end: int
    element: Element
    tail: bool
    offset: int


@dataclass(frozen=True, slots=True)
class Passage:
    """The text of a block element, or of a part of it between other blocks.

    text: single blanks for white space, "\\n" for <br>; level: of a heading, 1 to 6, else 0; linked: how many of the
    characters are links; runs: in order. Characters in no run have no place in a text node: collapsed white space,
    commas between cells, alt texts, formulas.
    """

    text: str
    kind: BlockKind
    level: int
    path: str
    part: int
    linked: int
    runs: tuple[Run, ...]

    def source(self, href: str) -> Source:
        return Source(href, self.path, self.part)


@dataclass(slots=True)
class Document:
    """types: epub:type and role of its body and outermost sections; anchors: the passage at or after each id."""

    root: Element
    sound: bool  # well-formed
    title: str = ""
    types: frozenset[str] = frozenset()
    passages: list[Passage] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)


def read_document(data: bytes, name: str, limits: BookLimits, budget: Budget | None = None) -> Document:
    """name: for messages. Raises InvalidInput if it is nested too deeply or takes longer than `budget`."""
    root, sound = parse_xhtml(data, name)
    document = Document(root, sound)
    for element in root.iter("{*}title"):
        document.title = " ".join(text_of(element).split())[:200]
        break
    document.passages, document.anchors, document.types = passages_of(root, name, limits, budget)
    return document


def passages_of(
    root: Element, name: str, limits: BookLimits, budget: Budget | None = None
) -> tuple[list[Passage], dict[str, int], frozenset[str]]:
    """The passages under `root` in order, the index of the passage at or after each id, and the document's types."""
    walk = _Walk()
    budget = budget or Budget(limits)
    # not etree.iterwalk, which takes quadratic time for comments in a row
    nodes = iter([root])
    outer: list[tuple[Element, Iterator[Element]]] = []  # the open elements, and what follows each of them
    while True:
        node = next(nodes, None)
        if node is None:
            if not outer:
                break
            element, nodes = outer.pop()
            walk.leave(element)
            continue
        budget.check()
        if not isinstance(node.tag, str):  # a comment or an instruction
            walk.say(node, True, node.tail)
            continue
        if len(outer) >= limits.depth:
            raise refused(f"its file {name!r} is nested too deeply (allowed: {limits.depth} elements)")
        outer.append((node, nodes))
        nodes = iter(()) if walk.enter(node) else node.iterchildren()
    walk.flush()
    return walk.passages, walk.anchors, frozenset(walk.types)


@dataclass(slots=True)
class _Frame:
    """An open element. place: its number among its parent's elements, from 1; children, parts: counted so far."""

    place: int
    block: bool
    kind: BlockKind
    level: int
    row: bool
    linked: bool
    children: int = 0
    parts: int = 0


class _Walk:
    def __init__(self) -> None:
        self.frames: list[_Frame] = []
        self.passages: list[Passage] = []
        self.anchors: dict[str, int] = {}
        self.types: set[str] = set()
        self._pictures: list[Passage] = []  # wait for the end of the passage that they are in
        self._clear()

    def _clear(self) -> None:
        self._texts: list[str] = []
        self._runs: list[Run] = []
        self._size = self._linked = 0
        self._gap = ""  # the white space before the next word, if there is one
        self._at = -1  # the frame of the block that the open passage belongs to

    def enter(self, element: Element) -> bool:
        """Returns whether its subtree is to be skipped; `leave` is called all the same."""
        name = local_name(element)
        outer = self.frames[-1] if self.frames else _Frame(1, True, "paragraph", 0, False, False)
        outer.children += 1
        block = not self.frames or name in _BLOCKS and not outer.row
        if block:
            self.flush()
        kind, level = outer.kind, outer.level
        if len(name) == 2 and name[0] == "h" and name[1].isdigit():
            kind, level = "heading", int(name[1])
        elif element.get("role") == "heading":
            kind, level = "heading", _LEVEL
        elif name in _ITEMS and not level:
            kind = "item"
        row = outer.row or name == "tr" and is_row(element)
        if row and not outer.row:
            kind = "item"
        linked = outer.linked or name == "a" and element.get("href") is not None
        place = outer.children if self.frames else 1
        self.frames.append(_Frame(place, block, kind, level, row, linked))
        if len(self.frames) <= 4 and name in ("html", "body", "section", "article", "div", "nav"):
            self.types |= types_of(element)
        self._anchor(element)
        if is_furniture(element, name):
            for inner in element.iter(etree.Element):
                self._anchor(inner)
            return True
        if name in ("img", "svg", "image"):
            self._picture(element)
            return True
        if name == "math":
            self._put(formula_of(element))
            return True
        if name == "br":
            self._gap = _BREAK
        elif outer.row and name in _CELLS and self._size:
            self._put_mark(",")
            self._gap = _BLANK
        self.say(element, False, element.text)
        return False

    def leave(self, element: Element) -> None:
        if self.frames[-1].block:
            self.flush()
        self.frames.pop()
        if self.frames:
            self.say(element, True, element.tail)

    def say(self, element: Element, tail: bool, raw: str | None) -> None:
        """Appends a text node to the open passage."""
        if not raw or not self.frames:
            return
        at = 0
        for words in _WORDS.finditer(raw):
            self._space(raw[at : words.start()])
            text = _SPACE.sub(_BLANK, words[0])
            self._put(text, Run(0, len(text), element, tail, words.start()))
            at = words.end()
        self._space(raw[at:])

    def _space(self, raw: str) -> None:
        """Records the white space between two words, which may span several nodes."""
        if not _SPACE.search(raw):
            return
        wrapped = "\n" in raw and self._gap in ("", _WRAP)
        self._gap = self._gap if self._gap == _BREAK else _WRAP if wrapped else _BLANK

    def _put(self, text: str, run: Run | None = None) -> None:
        if not text:
            return
        if self._at < 0:
            self._at = max(i for i, frame in enumerate(self.frames) if frame.block)
        elif self._gap and self._size:
            chinese = self._gap == _WRAP and is_cjk(self._texts[-1][-1]) and is_cjk(text[0])
            gap = "" if chinese else self._gap.replace(_WRAP, _BLANK)
            self._texts.append(gap)
            self._size += len(gap)
        self._gap = ""
        if run is not None:
            begin = self._size
            self._runs.append(Run(begin, begin + len(text), run.element, run.tail, run.offset))
        self._texts.append(text)
        self._size += len(text)
        if self.frames[-1].linked:
            self._linked += len(text)

    def _put_mark(self, mark: str) -> None:
        """Between two cells, unless the first ends with a sign."""
        if self._texts[-1][-1:].isalnum() or self._texts[-1][-1:] in ")]%'\"”’":
            self._gap = ""
            self._put(mark)

    def _picture(self, element: Element) -> None:
        alt = alt_of(element)
        if not alt:
            return
        if len(alt) <= _GLYPH:  # an initial, or a rare character
            self._put(alt)
            return
        frame = self.frames[-1]
        pictures = self.passages if self._at < 0 else self._pictures
        pictures.append(Passage(alt, "image", 0, self._path(len(self.frames) - 1), frame.parts, 0, ()))
        frame.parts += 1

    def flush(self) -> None:
        """Ends the open passage. One without a letter or a digit, such as a line of stars, is dropped."""
        text = "".join(self._texts)
        if any(map(str.isalnum, text)):
            if self.passages and self.passages[-1].kind == "image" and self.passages[-1].text == text:
                self.passages.pop()  # its caption says the same
            frame = self.frames[self._at]
            path = self._path(self._at)
            self.passages.append(
                Passage(text, frame.kind, frame.level, path, frame.parts, self._linked, tuple(self._runs))
            )
            frame.parts += 1
        self.passages += (each for each in self._pictures if each.text != text)
        self._pictures.clear()
        self._clear()

    def _path(self, depth: int) -> str:
        return "".join(f"/*[{frame.place}]" for frame in self.frames[: depth + 1])

    def _anchor(self, element: Element) -> None:
        for name in (element.get("id"), element.get("name") if local_name(element) == "a" else None):
            if name:
                self.anchors.setdefault(name, len(self.passages))
