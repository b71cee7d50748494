"""Parses untrusted XML and XHTML: no document type, no entities but HTML's, no network, bounded depth and size.

The document type is cut out before the parser sees the text, so no entity can be declared, expanded or fetched.
"""

from __future__ import annotations

import codecs
import html.entities
import re
import sys
from typing import Any

from lxml import etree

from serve_app.books.limits import refused

XHTML = "http://www.w3.org/1999/xhtml"
OPS = "http://www.idpf.org/2007/ops"  # epub:type
Element = etree._Element

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DECLARED = re.compile(
    rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{1,40})|<meta[^>]{0,200}?charset\s*=\s*["']?([\w.:-]{1,40})""",
    re.IGNORECASE,
)
_HEAD = 4096  # bytes that may declare the encoding
_NOT_TEXT = frozenset("idna punycode undefined unicode_escape raw_unicode_escape utf-7".split())
_DECLARATION = re.compile(r"\s*<\?xml[^>]{0,400}\?>")
_PROLOG = re.compile(r"(?:\s+|<\?.*?\?>|<!--.*?-->)*+", re.DOTALL)  # possessive: no state for each comment
_DOCTYPE = re.compile(
    r"<!DOCTYPE(?:[^\[\]<>\"']|\"[^\"]*\"|'[^']*'){0,2000}(?:\[(?P<subset>.{0,100000}?)\]\s*)?>",
    re.DOTALL | re.IGNORECASE,
)
_BARE = re.compile(r"&(?!#[0-9]{1,7};|#[xX][0-9a-fA-F]{1,6};|[A-Za-z][A-Za-z0-9]{0,31};)")
_NUMBERED = re.compile(r"&#(?:[xX]([0-9a-fA-F]{1,6})|([0-9]{1,7}));")
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{0,31});")
_KEPT = frozenset(("lt", "gt", "amp", "quot", "apos"))
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # in XML 1.0
_LIMIT = etree.ErrorTypes.ERR_RESOURCE_LIMIT
_SAFE: dict[str, Any] = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}


def parse_xml(data: bytes, name: str) -> Element:
    """The root of a package or navigation document; errors are recovered where possible.

    Raises InvalidInput if it is too deep or too long, or is not XML.
    """
    text = _prepared(data, name)
    root = _strict(text, name)
    if root is None:
        root = _parsed(text, etree.XMLParser(recover=True, **_SAFE), name)
    if root is None:
        raise refused(f"its file {name!r} is not XML")
    return root


def parse_xhtml(data: bytes, name: str) -> tuple[Element, bool]:
    """The root of a content document, and whether it was well-formed; if not, it was parsed as HTML.

    Raises InvalidInput if it is too deep or too long.
    """
    text = _prepared(data, name)
    root = _strict(text, name)
    if root is not None:
        return root, True
    root = _parsed(text, etree.HTMLParser(no_network=True, huge_tree=False), name)
    return etree.Element("html") if root is None else root, False


def text_of(element: Element) -> str:
    """All text within the element, unchanged."""
    return "".join(map(str, element.itertext()))


def _strict(text: str, name: str) -> Element | None:
    return _parsed(text, etree.XMLParser(**_SAFE), name)


def _parsed(text: str, parser: etree.XMLParser | etree.HTMLParser, name: str) -> Element | None:
    """None if it is malformed."""
    try:
        root = etree.fromstring(text, parser)
    except (etree.XMLSyntaxError, ValueError):
        root = None
    if any(entry.type == _LIMIT for entry in parser.error_log):
        raise refused(f"its file {name!r} is nested too deeply or contains too long a text")
    return root


def _prepared(data: bytes, name: str) -> str:
    """The text without declaration and document type, with characters for HTML's named entities.

    Other entities are dropped, and references by number to characters that XML does not have.
    """
    text = _ILLEGAL.sub("", _decoded(data))
    if declaration := _DECLARATION.match(text):
        text = text[declaration.end() :]
    prolog = _PROLOG.match(text)
    if prolog and (doctype := _DOCTYPE.match(text, prolog.end())):
        text = text[: doctype.start()] + text[doctype.end() :]
        prolog = _PROLOG.match(text)
    if prolog and text.startswith("<!", prolog.end()):
        raise refused(f"its file {name!r} has a document type that cannot be read")
    if "&" not in text:
        return text
    return _ENTITY.sub(_character, without_illegal_references(_BARE.sub("&amp;", text)))


def _character(m: re.Match[str]) -> str:
    if m[1] in _KEPT:
        return m[0]
    known = html.entities.html5.get(m[1] + ";")
    return "" if known is None else known.replace("&", "&amp;").replace("<", "&lt;")


def without_illegal_references(text: str) -> str:
    """Without references by number to characters that XML does not have, such as &#0; and &#xD800;."""
    return _NUMBERED.sub(_numbered, text)


def _numbered(m: re.Match[str]) -> str:
    # the recovering parser keeps references to surrogates, and then cannot decode its own text
    number = int(m[1], 16) if m[1] else int(m[2])
    return "" if number > sys.maxunicode or _ILLEGAL.match(chr(number)) else m[0]


def _decoded(data: bytes) -> str:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(encoding, "replace")
    if data[:4] in (b"<\0?\0", b"\0<\0?"):
        return data.decode("utf-16-le" if data[0] else "utf-16-be", "replace")
    declared = _DECLARED.search(data[:_HEAD])
    named = (declared[1] or declared[2]).decode() if declared else "utf-8"
    for encoding in (named, "utf-8"):
        try:
            codec = codecs.lookup(encoding).name
            if codec not in _NOT_TEXT:
                return data.decode(codec)
        except (LookupError, UnicodeError):
            continue
    return data.decode("cp1252", "replace")
