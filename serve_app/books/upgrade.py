"""Converts the package document of an EPUB to EPUB 3."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote

from lxml import etree

from serve_app.books.archive import Archive, resolve
from serve_app.books.elements import attributes_of, ids_of, new_element, text_of, unused
from serve_app.books.furniture import local_name
from serve_app.books.html5 import serialize
from serve_app.books.markup import OPS, XHTML, Element
from serve_app.books.navigation import Entry
from serve_app.books.package import Item, Package, children

OPF, DC = "http://www.idpf.org/2007/opf", "http://purl.org/dc/elements/1.1/"
MEDIA = {  # types of EPUB 2 that EPUB 3 does not have
    "image/jpg": "image/jpeg",
    "application/x-font-ttf": "font/ttf",
    "application/x-font-truetype": "font/ttf",
    "application/x-font-opentype": "font/otf",
    "application/x-font-otf": "font/otf",
    "application/x-font-woff": "font/woff",
}
SPINE = frozenset(("id", "toc", "page-progression-direction"))  # its attributes
REFINED = {
    "role": "marc:relators",
    "file-as": None,
}  # attributes of people and titles that become <meta>, their scheme


def is_epub3(package: Package) -> bool:
    return (package.root.get("version") or "").startswith("3")


def set_modified(package: Package, now: datetime) -> None:
    """now: in UTC."""
    metadata = metadata_of(package)
    for meta in children(metadata, "meta"):
        if meta.get("property") == "dcterms:modified" and meta.get("refines") is None:
            metadata.remove(meta)
    add_meta(package, "dcterms:modified", now.strftime("%Y-%m-%dT%H:%M:%SZ"))


def upgrade_package(package: Package, archive: Archive) -> None:
    """Changes the root of a package of EPUB 2 in place."""
    root = package.root
    _give_namespace(root)
    root.set("version", "3.0")
    for tours in children(root, "tours"):
        root.remove(tours)
    for spine in children(root, "spine"):
        for name in set(spine.attrib) - SPINE:
            del spine.attrib[name]
    _upgrade_metadata(package)
    _upgrade_manifest(package, archive)


def prepare(package: Package) -> None:
    """Makes OPF the default namespace: reading systems look for elements without the prefix of old attributes."""
    old = metadata_of(package)
    spaces = {prefix: space for prefix, space in old.nsmap.items() if space != OPF}
    new = new_element(f"{{{OPF}}}metadata", attributes_of(old), spaces | {None: OPF, "dc": DC})
    new.text, new.tail = old.text, old.tail
    new.extend(list(old))
    package.root.replace(old, new)
    etree.cleanup_namespaces(package.root)


def metadata_of(package: Package) -> Element:
    found = children(package.root, "metadata")
    if found:
        return found[0]
    metadata = etree.Element(f"{{{OPF}}}metadata")
    package.root.insert(0, metadata)
    return metadata


def add_meta(package: Package, property: str, value: str, refines: str | None = None) -> None:
    metadata = metadata_of(package)
    meta = etree.SubElement(metadata, f"{{{OPF}}}meta", property=property)
    if refines is not None:
        meta.set("refines", f"#{refines}")
    meta.text = value


def add_item(package: Package, id: str, name: str, media: str, properties: str = "") -> None:
    """name: of the file in the archive."""
    manifest = children(package.root, "manifest")[0]
    href = relative(name, package.name)
    item = etree.SubElement(manifest, f"{{{OPF}}}item", {"id": id, "href": href, "media-type": media})
    if properties:
        item.set("properties", properties)


def element_of(package: Package, item: Item) -> Element:
    """The manifest's element of an item."""
    return next(e for e in children(package.root, "manifest", "item") if (e.get("id") or "") == item.id)


def relative(name: str, base: str) -> str:
    """How the file `base` refers to the file `name`. Both are names in the archive."""
    return quote(posixpath.relpath(name, posixpath.dirname(base) or "."))


def navigation_document(entries: Iterable[Entry], name: str, language: str, title: str) -> bytes:
    """The contents as a document of EPUB 3. name: its own, in the archive."""
    html = new_element(f"{{{XHTML}}}html", spaces={None: XHTML, "epub": OPS})
    if language:
        html.set("lang", language)
        html.set("{http://www.w3.org/XML/1998/namespace}lang", language)
    etree.SubElement(etree.SubElement(html, f"{{{XHTML}}}head"), f"{{{XHTML}}}title").text = title
    body = etree.SubElement(html, f"{{{XHTML}}}body")
    nav = etree.SubElement(body, f"{{{XHTML}}}nav", {f"{{{OPS}}}type": "toc", "id": "toc"})
    etree.SubElement(nav, f"{{{XHTML}}}h1").text = title
    lists = [etree.SubElement(nav, f"{{{XHTML}}}ol")]
    for entry in entries:
        depth = min(entry.depth, len(lists))
        if depth == len(lists) and not len(lists[-1]):
            depth -= 1  # the outermost entry is missing
        del lists[depth + 1 :]
        if depth == len(lists):
            lists.append(etree.SubElement(lists[-1][-1], f"{{{XHTML}}}ol"))
        link = etree.SubElement(etree.SubElement(lists[-1], f"{{{XHTML}}}li"), f"{{{XHTML}}}a")
        fragment = f"#{quote(entry.fragment)}" if entry.fragment else ""
        link.set("href", relative(entry.name, name) + fragment)
        link.text = entry.title or title
    return serialize(html)


def _give_namespace(root: Element) -> None:
    """Adds the namespace, which early books lack, and merges their metadata groups, which EPUB 3 does not have."""
    for element in root.iter(etree.Element):
        tag = str(element.tag)
        if not tag.startswith(f"{{{DC}}}") and not tag.startswith(f"{{{OPF}}}"):
            space = DC if "purl.org/dc" in tag or tag.startswith("dc:") else OPF
            element.tag = f"{{{space}}}{local_name(element).rpartition(':')[2]}"
        elif tag != tag.lower() and tag.startswith(f"{{{DC}}}"):
            element.tag = tag.lower().replace(DC.lower(), DC)
    for group in children(root, "metadata", "dc-metadata") + children(root, "metadata", "x-metadata"):
        metadata = group.getparent()
        assert metadata is not None
        for child in list(group):
            metadata.append(child)
        metadata.remove(group)


def _upgrade_metadata(package: Package) -> None:
    metadata = metadata_of(package)
    ids = ids_of(package.root)
    dates = [e for e in metadata if local_name(e) == "date"]
    published = next((e for e in dates if e.get(f"{{{OPF}}}event") in (None, "publication")), None)
    for date in dates:
        if date is not published:
            metadata.remove(date)
    for element in [e for e in metadata if isinstance(e.tag, str)]:
        is_dc = str(element.tag).startswith(f"{{{DC}}}")
        for key, value in attributes_of(element).items():
            if not key.startswith(f"{{{OPF}}}"):
                continue
            del element.attrib[key]
            name = key.rpartition("}")[2]
            if is_dc and name in REFINED and value.strip():
                if element.get("id") is None:
                    element.set("id", unused(f"dc-{len(ids)}", ids))
                    ids.add(element.get("id") or "")
                add_meta(package, name, value.strip(), element.get("id"))
                if scheme := REFINED[name]:
                    metadata[-1].set("scheme", scheme)
        if is_dc and not text_of(element).strip():
            metadata.remove(element)
        elif local_name(element) == "meta" and element.get("property") is None:
            _keep_old_meta(metadata, element)


def _keep_old_meta(metadata: Element, meta: Element) -> None:
    """EPUB 3 still allows <meta name content>, but nothing else in it."""
    if not meta.get("name") or meta.get("content") is None:
        metadata.remove(meta)
        return
    for name in set(meta.attrib) - {"name", "content", "id"}:
        del meta.attrib[name]


def _upgrade_manifest(package: Package, archive: Archive) -> None:
    """Removes items that are not in the archive, also from the spine."""
    cover = next(
        (m.get("content") for m in children(metadata_of(package), "meta") if m.get("name") == "cover"), None
    )
    gone = set()
    for manifest in children(package.root, "manifest"):
        for item in children(manifest, "item"):
            target = resolve(package.name, item.get("href") or "")
            if target is None or target[0] not in archive:
                gone.add(item.get("id"))
                manifest.remove(item)
                continue
            media = (item.get("media-type") or "").strip().lower()
            media = "application/xhtml+xml" if media in ("text/html", "text/x-oeb1-document") else media
            item.set("media-type", MEDIA.get(media, media))
            for name in set(item.attrib) - {"id", "href", "media-type", "fallback"}:
                del item.attrib[name]
            if item.get("id") == cover and media.startswith("image/"):
                item.set("properties", "cover-image")
    for spine in children(package.root, "spine"):
        for reference in children(spine, "itemref"):
            if reference.get("idref") in gone:
                spine.remove(reference)
    for guide in children(package.root, "guide"):
        for reference in children(guide, "reference"):
            target = resolve(package.name, reference.get("href") or "")
            if target is None or target[0] not in archive:
                guide.remove(reference)
        if not len(guide):
            package.root.remove(guide)


def require(package: Package, values: dict[str, str], identifier: str) -> None:
    """Adds the elements that EPUB 3 demands, where they are missing.

    values: by the name of a Dublin Core element; identifier: for a package that does not name its own.
    """
    metadata, root = metadata_of(package), package.root
    for name, value in values.items():
        if not children(metadata, name):
            etree.SubElement(metadata, f"{{{DC}}}{name}").text = value
    unique = root.get("unique-identifier")
    if not any(each.get("id") == unique and unique for each in children(metadata, "identifier")):
        id = unused("identifier", ids_of(root))
        etree.SubElement(metadata, f"{{{DC}}}identifier", id=id).text = identifier
        root.set("unique-identifier", id)
