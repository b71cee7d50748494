"""A book's own EPUB with media overlays, but without its sound: what a read-along is made of.

The documents keep their text, layout and fonts. Media overlays (SMIL) say which sentence is heard when. A book in
EPUB 2 becomes one in EPUB 3, because EPUB 2 has no overlays. The process that reads untrusted books runs this.
"""

from __future__ import annotations

import io
import posixpath
import shutil
import uuid
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from lxml import etree

from deployments.contract.errors import InvalidInput
from serve_app.books import upgrade
from serve_app.books.archive import Archive
from serve_app.books.book import About, Book
from serve_app.books.elements import drop_attribute, ids_of, unused
from serve_app.books.html5 import properties, serialize
from serve_app.books.limits import BookLimits, refused
from serve_app.books.navigation import Entry, read_navigation
from serve_app.books.overlay import Clip, clock, duration, smil
from serve_app.books.package import Item, children, read_package
from serve_app.books.spoken_document import SpokenDocument, Utterance
from serve_app.books.timeline import Timeline

ACTIVE = "-epub-media-overlay-active"  # Apple's name of the class; others read it from the package
STYLE = f".{ACTIVE} {{ background-color: rgba(255, 196, 0, 0.4); }}\n"
SMIL_TYPE = "application/smil+xml"
COPIED = 2 * 2**30  # bytes of the book's files, unpacked; no bookshop takes a larger book
_DAMAGED = (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError)


@dataclass(frozen=True, slots=True)
class Spoken:
    """What has been spoken of a book. about: its metadata in the edition; now: the date of the edition."""

    about: About
    timeline: Timeline
    now: datetime


@dataclass(frozen=True, slots=True)
class Edition:
    """data: an EPUB that refers to the sound of each chapter, `audio_name(folder, n)`, but does not have it."""

    data: bytes
    folder: str


def audio_name(folder: str, number: int) -> str:
    """The name in the archive of a chapter's sound. number: from 1."""
    return f"{folder}/{number:04}.mp3"


def silent_edition(
    epub: bytes, book: Book, timeline: Timeline, now: datetime, limits: BookLimits | None = None
) -> Edition:
    """epub: what `book` was read from.

    Raises InvalidInput (param "file") for an EPUB that cannot be read, and (param "read_along") if nothing that is
    spoken has a place in it.
    """
    edition = _Edition(epub, book, timeline, limits or BookLimits())
    edition.mark(now)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(entry("mimetype", zipfile.ZIP_STORED), b"application/epub+zip")
        edition.copy_to(out)
        for name, data in edition.files.items():
            out.writestr(entry(name, zipfile.ZIP_DEFLATED), data)
    return Edition(file.getvalue(), edition.folder)


class _Edition:
    """The package and the documents while they change.

    files: what is new or changed, by name in the archive; folder: of the new ones; audio: the names of the sounds.
    """

    def __init__(self, epub: bytes, book: Book, timeline: Timeline, limits: BookLimits) -> None:
        self._epub, self._book, self._timeline, self._limits = epub, book, timeline, limits
        self._archive = Archive(epub, limits)
        self._package = read_package(self._archive)
        self._top = posixpath.dirname(self._package.name)
        taken = {posixpath.relpath(name, self._top or ".").split("/")[0] for name in self._archive}
        self.folder = posixpath.join(self._top, unused("read-along", taken))
        self._number = 0
        self._ids = ids_of(self._package.root)
        self._gone: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.audio = [audio_name(self.folder, n) for n, _ in enumerate(timeline.marks, 1)]

    def mark(self, now: datetime) -> None:
        package, old = self._package, not upgrade.is_epub3(self._package)
        contents = read_navigation(package, self._archive).entries if old else ()
        if old:
            upgrade.upgrade_package(package, self._archive)
        else:
            self._drop_overlays()
        upgrade.prepare(package)
        style, total, targets = self._name("style.css"), 0, {}
        spoken = self._utterances()
        for item in {i.name: i for i in package.items.values() if i.is_xhtml}.values():
            utterances = spoken.get(item.name, [])
            if not utterances and not old:
                continue
            document = SpokenDocument(self._archive.read(item.name), item.name, self._limits)
            clips = document.mark(utterances, upgraded=old, title=self._book.about.title or item.name)
            if clips:
                document.link_style(upgrade.relative(style, item.name))
                total += self._add_overlay(item, clips)
            if old and (found := properties(document.root)):
                upgrade.element_of(package, item).set("properties", " ".join(found))
            targets[item.name] = document.ids()
            self.files[item.name] = serialize(document.root)
        if not total:
            message = "Invalid 'read_along': nothing that is spoken has a place in the EPUB."
            raise InvalidInput(message, param="read_along")
        self._add_item(style, "text/css", STYLE.encode())
        for name in self.audio:
            self._add_item(name, "audio/mpeg")
        if old:
            self._add_navigation(contents, targets)
        self._describe(total, now)
        root = etree.tostring(package.root, xml_declaration=True, encoding="utf-8")
        self.files[package.name] = root

    def copy_to(self, out: zipfile.ZipFile) -> None:
        """All files that stay as they are."""
        left = COPIED
        with zipfile.ZipFile(io.BytesIO(self._epub)) as source:
            for name in self._archive:
                if name in self.files or name in self._gone or name == "mimetype" or name.endswith("/"):
                    continue
                info = source.getinfo(name)
                left -= info.file_size
                if left < 0:
                    raise refused(f"its files unpack to more than {COPIED} bytes")
                try:
                    with source.open(info) as file, out.open(entry(name, info.compress_type), "w") as target:
                        shutil.copyfileobj(file, target, 1 << 20)
                except _DAMAGED:
                    raise refused(f"its file {name!r} is damaged") from None

    def _name(self, file: str) -> str:
        return f"{self.folder}/{file}"

    def _utterances(self) -> dict[str, list[Utterance]]:
        """What is spoken of each document. Each lasts until the next one begins, so that no pause is skipped."""
        found: dict[str, list[Utterance]] = {}
        timeline = self._timeline
        lines = timeline.lines
        ends = [line.begin for line in lines[1:]] + [timeline.samples]
        files = {mark.chapter: (mark, name) for mark, name in zip(timeline.marks, self.audio, strict=True)}
        for line, end in zip(lines, ends, strict=True):
            mark, audio = files[line.chapter]
            block = self._book.chapters[line.chapter].blocks[line.block]
            if block.source is None:
                continue
            name = self._archive.find(block.source.href) or block.source.href
            begin, end = (
                round(1000 * (at - mark.begin) / timeline.rate) for at in (line.begin, min(end, mark.end))
            )
            found.setdefault(name, []).append(
                Utterance(block.source, block.text, line.span, audio, begin, end)
            )
        return found

    def _drop_overlays(self) -> None:
        """A book that already has overlays gets new ones."""
        for item in children(self._package.root, "manifest", "item"):
            drop_attribute(item, "media-overlay")
        for item in [i for i in self._package.items.values() if i.media == SMIL_TYPE]:
            element = upgrade.element_of(self._package, item)
            children(self._package.root, "manifest")[0].remove(element)
            self._gone.add(item.name)
        metadata = upgrade.metadata_of(self._package)
        for meta in children(metadata, "meta"):
            if (meta.get("property") or "").startswith("media:"):
                metadata.remove(meta)

    def _add_overlay(self, item: Item, clips: Sequence[Clip]) -> int:
        """Returns its duration in ms."""
        self._number += 1
        name = self._name(f"{self._number:04}.smil")
        named = [
            Clip(clip.target, upgrade.relative(clip.audio, name), clip.begin, clip.end) for clip in clips
        ]
        id = self._add_item(name, SMIL_TYPE, smil(upgrade.relative(item.name, name), named))
        upgrade.element_of(self._package, item).set("media-overlay", id)
        upgrade.add_meta(self._package, "media:duration", clock(duration(clips)), id)
        return duration(clips)

    def _add_item(self, name: str, media: str, data: bytes | None = None, properties: str = "") -> str:
        id = unused(f"read-along-{posixpath.basename(name)}", self._ids)
        self._ids.add(id)
        upgrade.add_item(self._package, id, name, media, properties)
        if data is not None:
            self.files[name] = data
        return id

    def _add_navigation(self, contents: Iterable[Entry], targets: dict[str, set[str]]) -> None:
        about = self._book.about
        known = [
            Entry(e.title, e.name, e.fragment if e.fragment in targets[e.name] else "", e.depth)
            for e in contents
            if e.name in targets
        ]
        if not known:
            firsts = [(c.title, c.blocks[0].source) for c in self._book.chapters if c.blocks]
            known = [
                Entry(title, s.href, "", 0) for title, s in firsts if s is not None and s.href in targets
            ]
        name = self._name("nav.xhtml")
        data = upgrade.navigation_document(known, name, about.language or "", about.title or "Contents")
        self._add_item(name, "application/xhtml+xml", data, "nav")

    def _describe(self, total: int, now: datetime) -> None:
        package, about = self._package, self._book.about
        upgrade.add_meta(package, "media:duration", clock(total))
        upgrade.add_meta(package, "media:active-class", ACTIVE)
        if about.narrator:
            upgrade.add_meta(package, "media:narrator", about.narrator)
        upgrade.set_modified(package, now)
        required = {"title": about.title or "Untitled", "language": about.language or "und"}
        upgrade.require(package, required, f"urn:uuid:{uuid.uuid4()}")


def entry(name: str, compression: int) -> zipfile.ZipInfo:
    """How a file is stored in an EPUB."""
    info = zipfile.ZipInfo(name)  # of 1980, so that equal books are equal files
    info.compress_type = compression
    info.external_attr = 0o644 << 16
    return info
