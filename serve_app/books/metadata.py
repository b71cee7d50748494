"""The metadata of an EPUB: title, people, series, ISBN, and its cover."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lxml import etree

from deployments.contract.errors import InvalidInput
from serve_app.books.archive import Archive, resolve
from serve_app.books.book import About
from serve_app.books.furniture import local_name
from serve_app.books.markup import Element, parse_xhtml, text_of, without_illegal_references
from serve_app.books.package import Package, children

_LINE, _PROSE, _LIST = 500, 10_000, 50  # characters of a field, of a description; entries of a list
_COVER, _COVERS = 20 * 2**20, 10  # bytes of a cover; files that may be one
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8}){0,4}")
_ISBN = re.compile(
    r"(?:urn:)?(?:isbn(?:-1[03])?)?[:\s]*((?:97[89][- ]?)?(?:\d[- ]?){9}[\dXx])", re.IGNORECASE
)
_DATE = re.compile(r"-?\d{4}(?:-\d\d(?:-\d\d)?)?")


def about_of(package: Package) -> About:
    """Reads the metadata. Missing or malformed fields stay empty."""
    elements = [e for m in children(package.root, "metadata") for e in m.iter(etree.Element)]
    refined: dict[str, dict[str, str]] = {}
    for meta in elements:
        if local_name(meta) == "meta" and (target := meta.get("refines")):
            refined.setdefault(target.lstrip("#"), {}).setdefault(meta.get("property") or "", _text(meta))

    def of(element: Element, name: str) -> str:
        """A property of an element, in EPUB 3's or EPUB 2's way."""
        own = next((v for k, v in element.attrib.items() if str(k).rpartition("}")[2] == name), "")
        return refined.get(element.get("id") or "", {}).get(name) or str(own)

    def all_of(name: str) -> list[Element]:
        return [e for e in elements if local_name(e) == name and _text(e)]

    titles = all_of("title")
    main = [e for e in titles if of(e, "title-type") in ("main", "")] or titles
    people = all_of("creator")
    tellers = [_text(e) for e in (*people, *all_of("contributor")) if of(e, "role") == "nrt"]
    authors = [e for e in people if of(e, "role") == "aut"] or [
        e for e in people if of(e, "role") in ("", "edt")
    ]
    dates = all_of("date")
    dates = [e for e in dates if of(e, "event") == "publication"] or dates
    series, part = _series(elements, refined)
    return About(
        title=_first(main),
        authors=_unique(map(_text, authors or people[:1])),
        narrator=", ".join(_unique(tellers)),
        language=next((t for e in all_of("language") if _LANGUAGE.fullmatch(t := _text(e))), None),
        description=_prose(_first(all_of("description"), _PROSE)),
        publisher=_first(all_of("publisher")),
        date=m[0] if (m := _DATE.match(_first(dates))) else "",
        isbn=_isbn([(_text(e), of(e, "scheme")) for e in all_of("identifier")]),
        series=series,
        part=part,
        genres=_unique(_text(e) for e in all_of("subject")),
    )


def cover_of(package: Package, archive: Archive) -> bytes | None:
    """The cover by EPUB 3's property, by EPUB 2's meta element, or by the guide. Adds to `Package.warnings`."""
    named = {m.get("content") for m in children(package.root, "metadata", "meta") if m.get("name") == "cover"}
    by_property = [i.name for i in package.items.values() if "cover-image" in i.properties]
    by_meta = [i.name for i in package.items.values() if i.id in named or i.name in named]
    by_guide = [name for name, types in package.guide.items() if "cover" in types]
    for name in dict.fromkeys([*by_property, *by_meta, *by_guide][:_COVERS]):
        try:
            name = _picture_in(name, archive)
            data = archive.read(name, _COVER) if name else b""
        except InvalidInput as error:
            package.warnings.append(f"its cover cannot be read ({error.message.rstrip('.')})")
            continue
        if data.startswith(_IMAGES):
            return data
        if data:
            package.warnings.append("its cover is neither JPEG nor PNG")
    return None


def _picture_in(name: str, archive: Archive) -> str | None:
    """`name` itself, or the first picture of an XHTML document."""
    found = archive.find(name)
    if found is None or not found.lower().endswith((".xhtml", ".html", ".htm", ".xml")):
        return found
    root, _ = parse_xhtml(archive.read(found), found)
    for picture in root.iter("{*}img", "{*}image"):
        links = (v for k, v in picture.attrib.items() if str(k).rpartition("}")[2] in ("src", "href"))
        if target := resolve(found, str(next(links, ""))):
            return archive.find(target[0])
    return None


def _series(elements: list[Element], refined: dict[str, dict[str, str]]) -> tuple[str, str]:
    for meta in elements:
        if meta.get("property") == "belongs-to-collection" and meta.get("refines") is None:
            more = refined.get(meta.get("id") or "", {})
            if more.get("collection-type", "series") == "series":
                return _text(meta), more.get("group-position", "")
    calibre = {
        e.get("name"): (e.get("content") or "").strip()[:_LINE] for e in elements if local_name(e) == "meta"
    }
    part = calibre.get("calibre:series_index", "")
    return calibre.get("calibre:series", ""), part.removesuffix(".0") if calibre.get("calibre:series") else ""


def _isbn(identifiers: list[tuple[str, str]]) -> str:
    """The first valid one, without hyphens."""
    for text, scheme in identifiers:
        match = _ISBN.fullmatch(text)
        if match and (digits := re.sub(r"[- ]", "", match[1]).upper()):
            marked = (
                "isbn" in text.lower()
                or scheme.upper() in ("ISBN", "15")
                or digits.startswith(("978", "979"))
            )
            if marked and _is_isbn(digits):
                return digits
    return ""


def _is_isbn(digits: str) -> bool:
    values = [10 if d == "X" else int(d) for d in digits]
    if len(values) == 10:
        return sum(v * (10 - i) for i, v in enumerate(values)) % 11 == 0
    return (
        len(values) == 13
        and "X" not in digits
        and sum(v * (1, 3)[i % 2] for i, v in enumerate(values)) % 10 == 0
    )


def _prose(text: str) -> str:
    """A description, which often is HTML within XML."""
    if "<" not in text:
        return text
    text = without_illegal_references(text)
    root = etree.fromstring(f"<div>{text}</div>", etree.HTMLParser(no_network=True))
    return "" if root is None else " ".join(" ".join(map(str, root.itertext())).split())


def _text(element: Element) -> str:
    most = _PROSE if local_name(element) == "description" else _LINE
    return " ".join(text_of(element).split())[:most]


def _first(elements: list[Element], most: int = _LINE) -> str:
    return _text(elements[0])[:most] if elements else ""


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, texts)))[:_LIST]
