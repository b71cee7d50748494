"""Recognises what is not part of a book's text: page numbers, note references, notes, hidden elements."""

from __future__ import annotations

import re
from itertools import islice

from serve_app.books.markup import OPS, Element

_NOT_TEXT = frozenset(
    "head script style template noscript audio video canvas object iframe map rt rp button select textarea input"
    "".split()
)
_MARKS = frozenset("noteref doc-noteref backlink doc-backlink referrer".split())
_PAGES = frozenset("pagebreak doc-pagebreak page-list doc-pagelist pagelist".split())
_NOTES = frozenset(
    "footnote footnotes endnote endnotes rearnote rearnotes doc-footnote doc-endnote doc-endnotes".split()
)
_PAGE_CLASS = re.compile(r"(?:page|pg)[-_]?(?:num(?:ber)?s?|no|break)|x?pagenum\w*|pb|folio")
_MARK_CLASS = re.compile(r"noteref|(?:fn|footnote|endnote)[-_]?(?:ref|anchor|link|call|marker)|fnanchor")
_NOTE_CLASS = re.compile(r"(?:foot|end|rear)[-_]?notes?(?:[-_]?(?:block|text|area|section))?")
_BOILERPLATE = frozenset("pg-boilerplate pgheader pgfooter".split())  # Project Gutenberg's licence
_MARK = re.compile(r"[\[(]?(?:\d{1,4}|[*†‡§¶‖#]{1,4}|[a-z])[\])]?|[↩⤴↑^]\ufe0e?")
_BRACKETED = re.compile(r"[\[(].*[\])]|[*†‡§¶‖↩⤴↑^].*", re.DOTALL)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_SHORT = 20  # characters of a page number or a mark, at most


def local_name(element: Element) -> str:
    """The tag in lower case without its namespace; "" for a comment or an instruction."""
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def types_of(element: Element) -> frozenset[str]:
    """The words of epub:type and role, in lower case."""
    named = (element.get(f"{{{OPS}}}type"), element.get("epub:type"), element.get("role"))
    return frozenset(" ".join(filter(None, named)).lower().split())


def is_furniture(element: Element, name: str) -> bool:
    """Whether `element` contains no part of the text. name: its `local_name`."""
    if name in _NOT_TEXT or _is_hidden(element):
        return True
    types = types_of(element)
    classes = (element.get("class") or "").lower().split()
    if not _BOILERPLATE.isdisjoint(classes) and name != "body":
        return True
    if types & _PAGES or any(map(_PAGE_CLASS.fullmatch, classes)):
        return _is_short(element)
    if types & _MARKS or any(map(_MARK_CLASS.fullmatch, classes)):
        return _is_short(element)
    if types & _NOTES or any(map(_NOTE_CLASS.fullmatch, classes)):
        return name != "body" and not _is_whole(element)
    return name == "a" and _is_note_mark(element)


def _is_hidden(element: Element) -> bool:
    if element.get("hidden") is not None or element.get("aria-hidden") == "true":
        return True
    return bool(_HIDDEN.search(element.get("style") or ""))


def _is_whole(element: Element) -> bool:
    """Whether it is the whole body: a chapter of notes, which the user may want."""
    while element.getprevious() is None and element.getnext() is None:
        parent = element.getparent()
        if parent is None or (parent.text or "").strip() or (element.tail or "").strip():
            return False
        if local_name(parent) == "body":
            return True
        element = parent
    return False


def _is_note_mark(link: Element) -> bool:
    """A link such as <sup><a href="#n1">1</a></sup>, <a href="#n1">[1]</a> or an arrow back."""
    if "#" not in (link.get("href") or ""):
        return False
    text = _beginning(link).strip()
    if not _MARK.fullmatch(text):
        return False
    parent = link.getparent()
    raised = parent is not None and local_name(parent) == "sup" or any(local_name(e) == "sup" for e in link)
    return raised or bool(_BRACKETED.fullmatch(text))


def _is_short(element: Element) -> bool:
    return len(_beginning(element).strip()) <= _SHORT


def _beginning(element: Element) -> str:
    return "".join(map(str, islice(element.itertext(), 8)))[: 4 * _SHORT]
