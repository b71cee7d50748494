"""Marks the spoken text of a document and its times: spans with ids, and the SMIL that refers to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lxml import etree

from serve_app.books.elements import attributes_of, drop_attribute, new_element
from serve_app.books.markup import XHTML, Element

SMIL = "http://www.w3.org/ns/SMIL"
PHRASING = frozenset(
    "a abbr audio b bdi bdo br button canvas cite code data del dfn em embed i iframe img input ins kbd label map mark "
    "meter noscript object output picture progress q rp rt ruby s samp script select small span strong sub sup svg "
    "template textarea time u var video wbr math big tt font acronym strike rb rtc nobr".split()
)
WHOLE = frozenset(
    "ruby rt rp rb rtc svg math button select object audio video map".split()
)  # cannot be split
NO_PHRASING = frozenset("table tbody thead tfoot tr ul ol dl colgroup html select ruby svg math".split())

Place = tuple[Element, bool, int]  # an element, whether in its tail, and an offset in that text


@dataclass(frozen=True, slots=True)
class Clip:
    """A spoken piece of a document. target: its id there; audio: the file, as the SMIL names it; times in ms."""

    target: str
    audio: str
    begin: int
    end: int


class Spans:
    """Puts spans with ids around ranges of a document, from its end to its start, so that earlier places stay valid."""

    def __init__(self) -> None:
        self._made: set[Element] = set()

    def wrap(self, begin: Place, end: Place, id: str) -> bool:
        """Puts <span id> around the text from `begin` up to `end`. An inline element that a boundary cuts is split.

        Returns False and changes nothing if no span is allowed there.
        """
        around = _common(_parent(begin), _parent(end))
        while around is not None and (_name(around) in WHOLE or around in self._made):
            around = around.getparent()
        if around is None or _name(around) in NO_PHRASING or not _all_phrasing(around, begin, end):
            return False
        last = _insert_marker(end)
        first = _insert_marker(begin)
        while last.getparent() is not around:
            self._lift_end(last)
        while first.getparent() is not around:
            _lift_begin(first, self._made)
        span = etree.Element(f"{{{XHTML}}}span", id=id)
        span.text, first.tail = first.tail, None
        while (child := first.getnext()) is not None and child is not last:
            span.append(child)  # with its tail
        span.tail, last.tail = last.tail, None
        around.replace(first, span)
        around.remove(last)
        self._made.add(span)
        return True

    def _lift_end(self, marker: Element) -> None:
        """Moves the marker to after its parent; what followed the marker goes to a copy of the parent."""
        parent = _parent_of(marker)
        if parent in self._made:  # made for the next sentence, which begins in the same element
            _move_before(parent, marker)
        elif _name(parent) in WHOLE or (marker.getnext() is None and not (marker.tail or "").strip()):
            _append_before(marker, marker.tail)
            marker.tail = None
            parent.remove(marker)
            _insert_after(parent, marker)
        else:
            _split(parent, marker)


def smil(document: str, clips: Sequence[Clip]) -> bytes:
    """document: the XHTML file, as the SMIL names it; clips: in order."""
    root = new_element(f"{{{SMIL}}}smil", {"version": "3.0"}, {None: SMIL})
    body = etree.SubElement(root, f"{{{SMIL}}}body")
    for number, clip in enumerate(clips, 1):
        par = etree.SubElement(body, f"{{{SMIL}}}par", id=f"p{number}")
        etree.SubElement(par, f"{{{SMIL}}}text", src=f"{document}#{clip.target}")
        times = {"clipBegin": clock(clip.begin), "clipEnd": clock(clip.end)}
        etree.SubElement(par, f"{{{SMIL}}}audio", {"src": clip.audio, **times})
    return etree.tostring(root, xml_declaration=True, encoding="utf-8", pretty_print=True)


def clock(ms: int) -> str:
    """A SMIL clock value."""
    return f"{ms // 3_600_000}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def duration(clips: Iterable[Clip]) -> int:
    """In ms."""
    return sum(clip.end - clip.begin for clip in clips)


def _name(element: Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def _parent(place: Place) -> Element | None:
    element, in_tail, _ = place
    return element.getparent() if in_tail else element


def _common(one: Element | None, other: Element | None) -> Element | None:
    if one is None or other is None:
        return None
    above = {one, *one.iterancestors()}
    return next((e for e in (other, *other.iterancestors()) if e in above), None)


def _all_phrasing(around: Element, begin: Place, end: Place) -> bool:
    """Whether a span may contain everything between two places."""
    first, last = _child_of(around, begin), _child_of(around, end)
    between = first if first is not None else next(iter(around), None)
    if first is not None and begin[1] and begin[0] is first:
        between = first.getnext()  # the range begins after it
    while between is not None and last is not None:
        names = [_name(e) for e in between.iter(etree.Element)]
        if _name(between) not in ("svg", "math") and any(name not in PHRASING for name in names):
            return False
        if between is last:
            break
        between = between.getnext()
    return True


def _child_of(around: Element, place: Place) -> Element | None:
    """The child of `around` that holds the place, or that the place follows. None: the text before all children."""
    element, in_tail, _ = place
    if element is around and not in_tail:
        return None
    while element.getparent() is not around:
        element = _parent_of(element)
    return element


def _insert_marker(place: Place) -> Element:
    """An empty element at the place, with the rest of the text as its tail."""
    element, in_tail, offset = place
    marker = etree.Element("marker")
    if in_tail:
        text = element.tail or ""
        element.tail = None
        element.addnext(marker)
        element.tail, marker.tail = text[:offset], text[offset:]
    else:
        text = element.text or ""
        element.insert(0, marker)
        element.text, marker.tail = text[:offset], text[offset:]
    return marker


def _lift_begin(marker: Element, made: Collection[Element]) -> None:
    """Moves the marker out of its parent to before it, or splits the parent."""
    parent = _parent_of(marker)
    nothing_before = marker.getprevious() is None and not (parent.text or "").strip()
    if nothing_before or _name(parent) in WHOLE or parent in made:
        _move_before(parent, marker)
    else:
        _split(parent, marker)


def _move_before(element: Element, marker: Element) -> None:
    """Takes the marker out of the element and puts it before it."""
    _append_before(marker, marker.tail)
    marker.tail = None
    element.remove(marker)
    _insert_before(element, marker)


def _split(parent: Element, marker: Element) -> None:
    """Moves everything after the marker to a copy of the parent without its id; the marker ends up between the two."""
    rest = new_element(str(parent.tag), attributes_of(parent), parent.nsmap)
    drop_attribute(rest, "id")
    rest.text, marker.tail = marker.tail, None
    while (child := marker.getnext()) is not None:
        rest.append(child)
    parent.remove(marker)
    _insert_after(parent, marker)
    _insert_after(marker, rest)


def _insert_after(element: Element, new: Element) -> None:
    """Inserts `new` between the element and its tail."""
    tail, element.tail = element.tail, None
    element.addnext(new)
    new.tail = tail


def _insert_before(element: Element, new: Element) -> None:
    before = element.getprevious()
    parent = _parent_of(element)
    if before is not None:
        _insert_after(before, new)
        new.tail, before.tail = None, new.tail
    else:
        text, parent.text = parent.text, None
        parent.insert(0, new)
        parent.text = text


def _append_before(marker: Element, text: str | None) -> None:
    """Adds text directly before the marker."""
    if not text:
        return
    before = marker.getprevious()
    if before is not None:
        before.tail = (before.tail or "") + text
    else:
        parent = _parent_of(marker)
        parent.text = (parent.text or "") + text


def _parent_of(element: Element) -> Element:
    parent = element.getparent()
    assert parent is not None  # the caller looks no higher than the root
    return parent
