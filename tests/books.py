"""Builds EPUBs for tests, and the text that they hold.

`Epub` is a book as a list of XHTML documents; its fields are what a test varies. `novel` makes one of any size.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from html import escape
from random import Random

PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0\x90wS\xde\0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\3\1\1\0"
    b"\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82"
)
CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
WORDS = (
    "the a small old green quiet river house garden letter morning evening captain sister harbour window walked opened "
    "carried waited answered slowly never always under over behind toward stone bread lantern winter summer paper"
).split()


@dataclass
class Page:
    """A document of the spine. body: within <body>; title: in the contents, None if it is not there."""

    body: str
    title: str | None = None
    name: str = ""
    type: str = ""
    linear: bool = True
    raw: bytes | None = None  # instead of body


@dataclass
class Epub:
    """An EPUB of version 2 or 3. entries: (title, href, children) of the contents; default: the titled pages."""

    pages: list[Page]
    version: int = 3
    title: str = "A Test Book"
    language: str = "en"
    metadata: str = '<dc:creator id="a1">Ann Author</dc:creator>'
    entries: list[tuple[str, str, list]] | None = None
    landmarks: str = ""
    guide: str = ""
    manifest: str = ""
    spine: str | None = None
    nav: bool = True
    nav_in_spine: bool = False
    files: dict[str, bytes] = field(default_factory=dict)  # names in the archive
    container: str | None = CONTAINER
    compression: int = zipfile.ZIP_DEFLATED

    def build(self) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", self.compression) as archive:
            archive.writestr(zipfile.ZipInfo("mimetype"), "application/epub+zip")
            for name, data in self.members().items():
                archive.writestr(name, data)
        return out.getvalue()

    def members(self) -> dict[str, str | bytes]:
        """What the archive holds besides its mimetype."""
        members: dict[str, str | bytes] = {"META-INF/container.xml": self.container} if self.container else {}
        members["OEBPS/book.opf"] = self._package()
        if self.nav and self.version == 3:
            members["OEBPS/nav.xhtml"] = self._nav()
        if self.nav and self.version == 2:
            members["OEBPS/toc.ncx"] = self._ncx()
        for i, page in enumerate(self.pages):
            members[f"OEBPS/{self.name(i)}"] = self._page(page) if page.raw is None else page.raw
        return members | self.files

    def name(self, i: int) -> str:
        return self.pages[i].name or f"text/p{i:04}.xhtml"

    def _page(self, page: Page) -> str:
        doctype = (
            "<!DOCTYPE html>"
            if self.version == 3
            else '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://www.w3.org/TR/xhtml11/DTD/xhtml11.dtd">'
        )
        kind = f' epub:type="{page.type}"' if page.type else ""
        spaces = 'xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"'
        return (
            f'<?xml version="1.0" encoding="utf-8"?>\n{doctype}\n<html {spaces} lang="{self.language}">'
            f"<head><title>{escape(page.title or '')}</title></head>\n<body{kind}>{page.body}</body></html>"
        )

    def _contents(self) -> list[tuple[str, str, list]]:
        if self.entries is not None:
            return self.entries
        return [(page.title, self.name(i), []) for i, page in enumerate(self.pages) if page.title is not None]

    def _package(self) -> str:
        items = "".join(
            f'<item id="p{i}" href="{escape(self.name(i))}" media-type="application/xhtml+xml"/>'
            for i in range(len(self.pages))
        )
        nav, toc, references = "", "", ""
        if self.nav and self.version == 3:
            nav = '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
            references = '<itemref idref="nav"/>' if self.nav_in_spine else ""
        if self.nav and self.version == 2:
            nav = '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
            toc = ' toc="ncx"'
        references += "".join(
            f'<itemref idref="p{i}"{"" if page.linear else " linear=" + chr(34) + "no" + chr(34)}/>'
            for i, page in enumerate(self.pages)
        )
        spine = f"<spine{toc}>{references}</spine>" if self.spine is None else self.spine
        guide = f"<guide>{self.guide}</guide>" if self.guide else ""
        modified = (
            '<meta property="dcterms:modified">2026-01-01T00:00:00Z</meta>' if self.version == 3 else ""
        )
        return (
            f'<?xml version="1.0" encoding="utf-8"?><package xmlns="http://www.idpf.org/2007/opf" '
            f'version="{self.version}.0" unique-identifier="uid"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/" '
            f'xmlns:opf="http://www.idpf.org/2007/opf"><dc:identifier id="uid">urn:uuid:0f1e2d3c-0000-4000-8000-'
            f"0123456789ab</dc:identifier><dc:title>{escape(self.title)}</dc:title>"
            f"<dc:language>{self.language}</dc:language>{modified}{self.metadata}</metadata>"
            f"<manifest>{nav}{items}{self.manifest}</manifest>{spine}{guide}</package>"
        )

    def _nav(self) -> str:
        def listed(entries: list[tuple[str, str, list]]) -> str:
            lines = (
                f'<li><a href="{escape(href)}">{escape(title)}</a>{listed(children)}</li>'
                for title, href, children in entries
            )
            return f"<ol>{''.join(lines)}</ol>" if entries else ""

        marks = (
            f'<nav epub:type="landmarks" hidden=""><ol>{self.landmarks}</ol></nav>' if self.landmarks else ""
        )
        body = f'<nav epub:type="toc"><h1>Contents</h1>{listed(self._contents())}</nav>{marks}'
        return self._page(Page(body, "Contents"))

    def _ncx(self) -> str:
        order = iter(range(1, 1_000_000))

        def points(entries: list[tuple[str, str, list]]) -> str:
            return "".join(
                f'<navPoint id="n{(n := next(order))}" playOrder="{n}"><navLabel><text>{escape(title)}</text>'
                f'</navLabel><content src="{escape(href)}"/>{points(children)}</navPoint>'
                for title, href, children in entries
            )

        return (
            '<?xml version="1.0" encoding="utf-8"?><ncx xmlns="http://www.daisy.org/z3986/2005/ncx/" version="2005-1">'
            '<head><meta name="dtb:uid" content="urn:uuid:0f1e2d3c-0000-4000-8000-0123456789ab"/></head>'
            f"<docTitle><text>{escape(self.title)}</text></docTitle><navMap>{points(self._contents())}</navMap></ncx>"
        )


def prose(characters: int, seed: int = 0) -> list[str]:
    """Paragraphs of English sentences, at least `characters` long together; the same for the same seed."""
    draw = Random(seed)
    paragraphs: list[str] = []
    while sum(map(len, paragraphs)) < characters:
        sentences = (
            " ".join(draw.choices(WORDS, k=draw.randint(6, 14))).capitalize() + "."
            for _ in range(draw.randint(2, 6))
        )
        paragraphs.append(" ".join(sentences))
    return paragraphs


def novel(chapters: int = 20, characters: int = 60_000, version: int = 3) -> Epub:
    """A book with a title page, a copyright page and `chapters` chapters of `characters` characters in all."""
    pages = [
        Page("<h1>A Test Book</h1><p>Ann Author</p>", "Title Page", type="titlepage"),
        Page("<p>Copyright © 2026 Ann Author. All rights reserved. ISBN 978-0-306-40615-7.</p>", "Copyright"),
    ]
    for n in range(1, chapters + 1):
        text = "".join(f"<p>{each}</p>\n" for each in prose(characters // chapters, n))
        pages.append(
            Page(f"<section><h2>Chapter {n}</h2>\n{text}</section>", f"Chapter {n}", type="bodymatter")
        )
    return Epub(pages, version)
