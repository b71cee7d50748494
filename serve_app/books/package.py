"""The package document of an EPUB (OPF): its files, their order, and what a reading system needs to find."""

from __future__ import annotations

from dataclasses import dataclass, field

from serve_app.books.archive import Archive, resolve
from serve_app.books.furniture import local_name
from serve_app.books.limits import refused
from serve_app.books.markup import Element, parse_xml

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_FONTS = frozenset(
    ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
)  # obfuscated, not locked
_XHTML = frozenset(("application/xhtml+xml", "text/html", "text/x-oeb1-document"))
_NCX = "application/x-dtbncx+xml"
_FALLBACKS = 5  # items in a row


@dataclass(frozen=True, slots=True)
class Item:
    """A file of the manifest. name: in the archive."""

    id: str
    name: str
    media: str
    properties: frozenset[str]
    fallback: str | None

    @property
    def is_xhtml(self) -> bool:
        return self.media in _XHTML


@dataclass(slots=True)
class Package:
    """spine: the XHTML documents in reading order, each once, and whether they are linear; guide: types by document."""

    root: Element
    name: str
    items: dict[str, Item]
    spine: list[tuple[Item, bool]] = field(default_factory=list)
    guide: dict[str, set[str]] = field(default_factory=dict)
    nav: Item | None = None
    ncx: Item | None = None
    warnings: list[str] = field(default_factory=list)


def read_package(archive: Archive) -> Package:
    """Raises InvalidInput if there is no package, no spine, or content under DRM."""
    name = _package_name(archive)
    root = parse_xml(archive.read(name), name)
    package = Package(root, name, _manifest(root, name, archive))
    _spine(package, archive)
    _check_encryption(package, archive)
    for reference in children(root, "guide", "reference"):
        if target := resolve(name, reference.get("href") or ""):
            package.guide.setdefault(target[0], set()).add((reference.get("type") or "").lower())
    for item in package.items.values():
        if "nav" in item.properties and package.nav is None:
            package.nav = item
        if item.media == _NCX and package.ncx is None:
            package.ncx = item
    for spine in children(root, "spine"):
        package.ncx = package.items.get(spine.get("toc") or "") or package.ncx
    return package


def children(root: Element, *names: str) -> list[Element]:
    """The elements along a path of local names below `root`."""
    found = [root]
    for name in names:
        found = [child for element in found for child in element if local_name(child) == name.lower()]
    return found


def _package_name(archive: Archive) -> str:
    if _CONTAINER in archive:
        container = parse_xml(archive.read(_CONTAINER), _CONTAINER)
        for file in children(container, "rootfiles", "rootfile"):
            target = resolve("", file.get("full-path") or "")
            found = archive.find(target[0]) if target else None
            if found is not None:
                return found
    for name in archive:
        if name.lower().endswith(".opf"):
            return name
    raise refused("it is not an EPUB (it has no package document)")


def _manifest(root: Element, base: str, archive: Archive) -> dict[str, Item]:
    items: dict[str, Item] = {}
    for each in children(root, "manifest", "item"):
        target = resolve(base, each.get("href") or "")
        name = archive.find(target[0]) if target else None
        if name is not None:
            identity = each.get("id") or ""
            properties = frozenset((each.get("properties") or "").split())
            media = (each.get("media-type") or "").strip().lower()
            items.setdefault(identity, Item(identity, name, media, properties, each.get("fallback")))
    return items


def _spine(package: Package, archive: Archive) -> None:
    references = children(package.root, "spine", "itemref")
    if not references:
        raise refused("its package has no spine, so the order of its text is unknown")
    seen: set[str] = set()
    missing = 0
    for reference in references:
        item = package.items.get(reference.get("idref") or "")
        for _ in range(_FALLBACKS):
            if item is None or item.is_xhtml:
                break
            item = package.items.get(item.fallback or "")
        if item is None or not item.is_xhtml:
            missing += 1
        elif item.name not in seen:
            seen.add(item.name)
            package.spine.append((item, reference.get("linear") != "no"))
    if not package.spine:
        raise refused("its spine lists no text")
    if missing:
        package.warnings.append(f"{missing} of the files in its spine are missing or contain no text")


def _check_encryption(package: Package, archive: Archive) -> None:
    if _ENCRYPTION not in archive:
        return
    needed = {package.name, *(item.name for item, _ in package.spine)}
    for data in parse_xml(archive.read(_ENCRYPTION), _ENCRYPTION).iter("{*}EncryptedData"):
        methods = {each.get("Algorithm") for each in children(data, "EncryptionMethod")}
        for reference in data.iter("{*}CipherReference"):
            target = resolve("", reference.get("URI") or "")
            name = archive.find(target[0]) if target else None
            if name in needed and not methods & _FONTS:
                raise refused("the book is protected (DRM); its text cannot be read", "protected")
