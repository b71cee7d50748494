"""An XHTML document whose sentences get ids, so that an overlay can refer to them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from lxml import etree

from serve_app.books.book import Source
from serve_app.books.elements import ids_of, unused
from serve_app.books.html5 import head_of, upgrade
from serve_app.books.limits import BookLimits
from serve_app.books.markup import XHTML, Element
from serve_app.books.overlay import Clip, Place, Spans
from serve_app.books.xhtml import Passage, read_document


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something spoken. text: of its block; span: of it, in there; audio: the file's name; begin, end: in ms, in it."""

    source: Source
    text: str
    span: tuple[int, int]
    audio: str
    begin: int
    end: int


class SpokenDocument:
    """root: the document, for EPUB 3 after `mark`."""

    def __init__(self, data: bytes, name: str, limits: BookLimits) -> None:
        document = read_document(data, name, limits)
        self.root = document.root
        self._sound, self._passages = document.sound, document.passages

    def mark(self, utterances: Sequence[Utterance], *, upgraded: bool, title: str) -> list[Clip]:
        """Gives ids to what is spoken and returns the clips in the order of the utterances.

        Sentences that no span may enclose, such as table rows and pictures, become one clip with their block.
        upgraded: the document comes from EPUB 2; title: for a document without one.
        """
        numbers = {(passage.path, passage.part): n for n, passage in enumerate(self._passages)}
        blocks = {u.source.path: self._element(u.source.path) for u in utterances}
        if upgraded or not self._sound:
            self.root = upgrade(self.root, title)
        self._ids = self.ids()
        prefix = "s"
        taken = {each.rstrip("0123456789") for each in self._ids}
        while prefix in taken:
            prefix += "s"
        spans = Spans()
        targets: list[str | None] = [None] * len(utterances)
        found = [numbers.get((u.source.path, u.source.part)) for u in utterances]
        order = sorted(
            range(len(utterances)), key=lambda i: (-1 if found[i] is None else found[i], utterances[i].span)
        )
        for index in reversed(order):
            utterance, number = utterances[index], found[index]
            passage = None if number is None else self._passages[number]
            places = passage and places_of(passage, utterance)
            if places and spans.wrap(*places, f"{prefix}{index + 1}"):
                targets[index] = f"{prefix}{index + 1}"
        clips: list[Clip] = []
        for utterance, target in zip(utterances, targets, strict=True):
            block = blocks[utterance.source.path]
            if target is None and block is not None:
                target = self._id_of(block)
            if target is not None:
                clips.append(Clip(target, utterance.audio, utterance.begin, utterance.end))
        return _joined(clips)

    def link_style(self, href: str) -> None:
        link = {"rel": "stylesheet", "type": "text/css", "href": href}
        etree.SubElement(head_of(self.root), f"{{{XHTML}}}link", link)

    def ids(self) -> set[str]:
        return ids_of(self.root)

    def _element(self, path: str) -> Element | None:
        found = self.root.xpath(path)
        element = found[0] if isinstance(found, list) and found else None
        return element if isinstance(element, etree._Element) else None

    def _id_of(self, element: Element) -> str:
        id = element.get("id")
        if not id:
            id = unused("block", self._ids)
            element.set("id", id)
            self._ids.add(id)
        return id


def places_of(passage: Passage, utterance: Utterance) -> tuple[Place, Place] | None:
    """The begin and the end of an utterance in its document. None if it is not in its text."""
    begin, end = utterance.span
    after = bisect_right(passage.runs, begin, key=lambda run: run.end)
    runs = passage.runs[after : bisect_left(passage.runs, end, key=lambda run: run.begin)]
    if not runs or passage.text != utterance.text:
        return None
    first, last = runs[0], runs[-1]
    return (
        (first.element, first.tail, first.offset + max(0, begin - first.begin)),
        (last.element, last.tail, last.offset + min(end, last.end) - last.begin),
    )


def _joined(clips: Sequence[Clip]) -> list[Clip]:
    """Neighbours with one target become one."""
    joined: list[Clip] = []
    for clip in clips:
        before = joined[-1] if joined else None
        if before and (before.target, before.audio, before.end) == (clip.target, clip.audio, clip.begin):
            joined[-1] = Clip(clip.target, clip.audio, before.begin, clip.end)
        else:
            joined.append(clip)
    return joined
