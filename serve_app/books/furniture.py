"""Recognises what is not part of a book's text: page numbers, note references, notes, hidden elements."""

from __future__ import annotations

import re
from collections import deque
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
_MARK_CLASS = re.compile(
    r"noteref|(?:fn|footnote|endnote)[-_]?(?:ref|anchor|link|call|marker)|fnanchor|duokan-footnote"
)
_NOTE_CLASS = re.compile(
    r"(?:foot|end|rear)[-_]?notes?(?:[-_]?(?:block|text|area|section))?|duokan-footnote-(?:content|item)"
)
_RAISED_CLASS = re.compile(r"sup(?:er(?:script)?)?\d{0,2}")
_BOILERPLATE = frozenset("pg-boilerplate pgheader pgfooter".split())  # Project Gutenberg's licence
_CIRCLED = "①-⑳㉑-㉟㊱-㊿❶-❿"
_MARK = re.compile(
    rf"[\[(〔【（［]?(?:[注註]?\d{{1,4}}|[注註{_CIRCLED}]|[*†‡§¶‖#]{{1,4}}|[a-z])[\])〕】）］]?|[↩⤴↑^]\ufe0e?"
)
_BRACKETED = re.compile(rf"[\[(〔【（［].*[\])〕】）］]|[*†‡§¶‖↩⤴↑^{_CIRCLED}].*", re.DOTALL)
_NUMBER = re.compile(r"[注註]?\d{1,3}")
_WORD_BEFORE = re.compile(  # Chinese has no blanks, so only a sign tells "第3章" from the number of a note there
    r"([^\W\d_\u3040-\u9fff\uac00-\ud7af]{2,})[.,;:!?…”\"’'»)]*$|[\u3040-\u9fff\uac00-\ud7af][。，；：！？）」』”’]+$"
)
_REFERENCES = frozenset("no nos nr pp fig figs ch chap vol art sec eq tab bd".split())  # "No.3" is not note 3
_NEAR = 6  # empty elements between a word and its note
_INLINE = frozenset("span i b em strong small font u".split())
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
    if _BRACKETED.fullmatch(text):
        return True
    near = (link, *islice(link.iterancestors(), 2), *islice(link.iterdescendants(), 4))
    return any(map(_is_raised, near)) or bool(_NUMBER.fullmatch(text)) and _follows_word(link)


def _is_raised(element: Element) -> bool:
    classes = (element.get("class") or "").lower().split()
    return local_name(element) == "sup" or any(map(_RAISED_CLASS.fullmatch, classes))


def _follows_word(link: Element) -> bool:
    """Whether a word ends directly before it, as before the number of a note that only a style sheet raises."""
    element = link
    for _ in range(_NEAR):
        before, parent = element.getprevious(), element.getparent()
        if before is not None:
            own = before.itertext() if isinstance(before.tag, str) else ()
            text, element = before.tail or "".join(map(str, deque(own, 2))), before
        elif parent is not None:
            text, element = parent.text, parent
        else:
            return False
        if text:
            return _is_word(text)
        if before is None and local_name(element) not in _INLINE:
            return False
    return False


def _is_word(text: str) -> bool:
    """Whether it ends with a word and its punctuation, and no blank."""
    found = _WORD_BEFORE.search(text[-_SHORT:])
    return found is not None and (found[1] or "").lower() not in _REFERENCES


def _is_short(element: Element) -> bool:
    return len(_beginning(element).strip()) <= _SHORT


def _beginning(element: Element) -> str:
    return "".join(map(str, islice(element.itertext(), 8)))[: 4 * _SHORT]
