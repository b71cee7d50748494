"""The text that is spoken for a picture or a formula."""

from __future__ import annotations

import re
from collections.abc import Iterable

from serve_app.books.furniture import local_name
from serve_app.books.markup import Element, text_of

_ALT = 2000  # characters, at most
_DULL_ALT = re.compile(
    r"(?:\[?(?:image|illustration|cover|cover image|picture|figure|photo|logo|decoration|ornament|divider|img\w*)\]?|"
    r"\S*\.(?:jpe?g|png|gif|svg|webp)|[\W\d_]*)",
    re.IGNORECASE,
)


def alt_of(element: Element) -> str:
    """The alternative text of a picture; "" if it has none that is useful."""
    texts: Iterable[str | None] = (element.get("alt"), element.get("aria-label"), element.get("title"))
    if local_name(element) == "svg":
        titles = (e for e in element.iter("{*}title", "{*}desc"))
        texts = (element.get("aria-label"), *(text_of(each) for each in titles))
    for text in texts:
        clean = " ".join((text or "").split())[:_ALT]
        if clean and not (len(clean) > 1 and _DULL_ALT.fullmatch(clean)):
            return clean if any(map(str.isalnum, clean)) else ""
    return ""


def formula_of(element: Element) -> str:
    text = element.get("alttext") or "".join(
        each.text or "" for each in element.iter("{*}mi", "{*}mn", "{*}mo", "{*}mtext")
    )
    return " ".join(text.split())[:_ALT]
