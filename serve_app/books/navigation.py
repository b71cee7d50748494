"""The contents of an EPUB: from the navigation document of EPUB 3, else from the NCX of EPUB 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from deployments.contract.errors import InvalidInput
from serve_app.books.archive import Archive, resolve
from serve_app.books.furniture import local_name, types_of
from serve_app.books.markup import Element, parse_xhtml, parse_xml, text_of
from serve_app.books.package import Package, children

_TITLE = 300  # characters


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the contents. name, fragment: what it points to; depth: 0 for the outermost."""

    title: str
    name: str
    fragment: str
    depth: int


@dataclass(frozen=True, slots=True)
class Navigation:
    """entries: in the order of the contents; landmarks: types by document."""

    entries: tuple[Entry, ...]
    landmarks: dict[str, set[str]]


def read_navigation(package: Package, archive: Archive) -> Navigation:
    """Reads the contents. Errors are added to `Package.warnings`."""
    landmarks: dict[str, set[str]] = {}
    entries: list[Entry] = []
    try:
        if package.nav is not None:
            root, _ = parse_xhtml(archive.read(package.nav.name), package.nav.name)
            for nav in root.iter("{*}nav"):
                types = types_of(nav)
                if types & {"toc", "doc-toc"} and not entries:
                    entries = list(_toc(nav, package.nav.name, archive))
                elif "landmarks" in types:
                    for link in nav.iter("{*}a"):
                        if target := resolve(package.nav.name, link.get("href") or ""):
                            landmarks.setdefault(archive.find(target[0]) or target[0], set()).update(
                                types_of(link)
                            )
        if not entries and package.ncx is not None:
            entries = list(_ncx(archive.read(package.ncx.name), package.ncx.name, archive))
    except InvalidInput as error:
        package.warnings.append(f"its contents list cannot be read ({error.message.rstrip('.')})")
    return Navigation(tuple(entries), landmarks)


def _toc(nav: Element, base: str, archive: Archive) -> Iterator[Entry]:
    depth = -1
    for event, element in etree.iterwalk(nav, events=("start", "end")):
        name = local_name(element)
        if name == "ol":
            depth += 1 if event == "start" else -1
        elif name == "a" and event == "start":
            yield from _entry(text_of(element), base, element.get("href"), depth, archive)


def _ncx(data: bytes, base: str, archive: Archive) -> Iterator[Entry]:
    root = parse_xml(data, base)
    depth = -1
    for navigation in root.iter("{*}navMap"):
        for event, element in etree.iterwalk(navigation, events=("start", "end"), tag="{*}navPoint"):
            depth += 1 if event == "start" else -1
            if event == "start":
                title = "".join(text_of(each) for each in children(element, "navLabel", "text"))
                for content in children(element, "content")[:1]:
                    yield from _entry(title, base, content.get("src"), depth, archive)
        return


def _entry(title: str, base: str, href: str | None, depth: int, archive: Archive) -> Iterator[Entry]:
    target = resolve(base, href or "")
    name = archive.find(target[0]) if target else None
    if target is not None and name is not None:
        yield Entry(" ".join(title.split())[:_TITLE], name, target[1], max(depth, 0))
