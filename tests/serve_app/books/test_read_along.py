"""Read-alongs, checked by epubcheck and by following every reference from the SMIL to the text and to the sound."""

from __future__ import annotations

import io
import itertools
import posixpath
import subprocess
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from lxml import etree

from deployments.contract.errors import InvalidInput
from serve_app.books import edition as edition_module
from serve_app.books.book import Block, Book, Chapter
from serve_app.books.edition import ACTIVE, Edition, silent_edition
from serve_app.books.layout import Layout
from serve_app.books.limits import BookLimits
from serve_app.books.loudness import Gain
from serve_app.books.read import read_book
from serve_app.books.read_along import write_read_along
from serve_app.books.xhtml import read_document
from tests.books import Epub, Page, novel
from tests.serve_app.books import epubs
from tests.serve_app.books.conftest import PER_LETTER, RATE, Read, command, read

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
SMIL, OPF, XHTML = "http://www.w3.org/ns/SMIL", "http://www.idpf.org/2007/opf", "http://www.w3.org/1999/xhtml"


def edition(epub: bytes, book: Book, layout: Layout) -> Edition:
    return silent_edition(epub, book, layout.timeline, NOW, BookLimits())


class Made:
    """A read-along and what it says: clips are (text, audio file, begin, end in s) in order."""

    def __init__(self, path: Path, spoken: Read) -> None:
        self.path, self.spoken = path, spoken
        self.archive = zipfile.ZipFile(path)
        self.timeline = spoken.layout().timeline
        self.package = self.xml("OEBPS/book.opf")
        self.items = {i.get("id"): i for i in self.package.iter(f"{{{OPF}}}item")}

    def xml(self, name: str) -> etree._Element:
        return etree.fromstring(self.archive.read(name))

    def meta(self, property: str, refines: str | None = None) -> list[str | None]:
        metas = self.package.iter(f"{{{OPF}}}meta")
        return [m.text for m in metas if (m.get("property"), m.get("refines")) == (property, refines)]

    def clips(self) -> list[tuple[str, str, float, float]]:
        found = []
        for reference in self.package.iter(f"{{{OPF}}}itemref"):
            item = self.items[reference.get("idref")]
            if (overlay := item.get("media-overlay")) is not None:
                found += self._clips(f"OEBPS/{self.items[overlay].get('href')}", f"OEBPS/{item.get('href')}")
        return found

    def _clips(self, smil: str, document: str) -> list[tuple[str, str, float, float]]:
        found = []
        for par in self.xml(smil).iter(f"{{{SMIL}}}par"):
            text, audio = par
            name, _, id = text.get("src", "").partition("#")
            assert posixpath.normpath(posixpath.join(posixpath.dirname(smil), name)) == document
            (element,) = self.xml(document).xpath(f"//*[@id='{id}']")
            texts = element.xpath(".//text()[not(ancestor::*[local-name()='rt'])]")
            said = " ".join("".join(texts).split()) or element.get("alt", "")
            file = posixpath.normpath(posixpath.join(posixpath.dirname(smil), audio.get("src", "")))
            found.append((said, file, seconds(audio.get("clipBegin")), seconds(audio.get("clipEnd"))))
        return found


def seconds(clock: str | None) -> float:
    hours, minutes, rest = (clock or "").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def text_of(document: bytes) -> list[str]:
    return [passage.text for passage in read_document(document, "it", BookLimits()).passages]


@pytest.fixture
def make(tmp_path: Path, cover: bytes) -> Callable[..., Made]:
    def make(epub: Epub | bytes) -> Made:
        data = epub if isinstance(epub, bytes) else epub.build()
        spoken = read(read_book(data, "book.epub", BookLimits()))
        layout = spoken.layout()
        path = tmp_path / "out.epub"
        write_read_along(path, edition(data, spoken.book, layout), layout.timeline, layout.blocks)
        return Made(path, spoken)

    return make


@pytest.fixture(params=["epub3", "epub2"])
def epub(request: pytest.FixtureRequest, cover: bytes) -> Epub:
    return getattr(epubs, request.param)(cover)


def test_epubcheck_finds_nothing(epub, make, check_epub):
    assert check_epub(make(epub).path) == ""


def test_each_sentence_is_marked_while_it_is_spoken(epub, make):
    made = make(epub)
    clips = {said: (file, begin, end) for said, file, begin, end in made.clips()}
    marks = {mark.chapter: (n, mark.begin) for n, mark in enumerate(made.timeline.marks, 1)}
    for line in made.timeline.lines:
        said = " ".join(line.text.split())
        if said in ("One, Two", "A drawing of a cat"):
            continue
        number, start = marks[line.chapter]
        file, begin, end = clips[said]
        assert file == f"OEBPS/read-along/{number:04}.mp3"
        assert begin == pytest.approx((line.begin - start) / RATE, abs=0.001)
        assert end >= (line.end - start) / RATE - 0.001


def test_rows_and_pictures_are_marked_as_a_whole(make, cover):
    said = [clip[0] for clip in make(epubs.epub2(cover)).clips()]
    assert "OneTwo" in said and "A drawing of a cat" in said


def test_clips_of_a_file_have_no_gaps_so_that_pauses_are_heard(epub, make):
    made = make(epub)
    clips = made.clips()
    for (_, file, _, end), (_, after, begin, _) in itertools.pairwise(clips):
        assert begin == (end if file == after else 0.0)
    for n, mark in enumerate(made.timeline.marks, 1):
        of_file = [clip for clip in clips if clip[1].endswith(f"{n:04}.mp3")]
        assert of_file[-1][3] == pytest.approx((mark.end - mark.begin) / RATE, abs=0.001)


def test_durations_add_up(epub, make):
    made = make(epub)
    each = [
        seconds(made.meta("media:duration", f"#{item.get('media-overlay')}")[0])
        for item in made.items.values()
        if item.get("media-overlay")
    ]
    (total,) = made.meta("media:duration")
    assert len(each) == 2 and sum(each) == pytest.approx(seconds(total))
    assert sum(end - begin for *_, begin, end in made.clips()) == pytest.approx(seconds(total))
    assert seconds(total) == pytest.approx(made.timeline.samples / RATE, abs=0.01)


def test_the_sound_at_a_clip_is_its_sentence(epub, make, tmp_path):
    made = make(epub)
    lines = {" ".join(line.text.split()): n for n, line in enumerate(made.timeline.lines)}
    checked = 0
    for said, file, begin, _ in made.clips():
        if said not in lines:
            continue
        spoken = made.spoken.segments[lines[said]]
        heard = decode(made.archive.read(file), tmp_path)
        at = round((begin + 0.13) * RATE)
        window = heard[at : at + round((PER_LETTER * len(said) - 0.02) * RATE)]
        spectrum = np.abs(np.fft.rfft(window * np.hanning(len(window)), 4 * RATE))
        assert np.argmax(spectrum) / 4 == pytest.approx(made.spoken.pitch(spoken), abs=10)
        checked += 1
    assert checked >= 12


def decode(data: bytes, folder: Path) -> np.ndarray:
    file = folder / "chapter.mp3"
    file.write_bytes(data)
    options = ["-v", "error", "-i", file, "-f", "f32le", "-ar", str(RATE), "-"]
    done = subprocess.run([command("ffmpeg"), *options], capture_output=True, check=True)
    return np.frombuffer(done.stdout, "<f4")


def test_the_package_says_what_readers_need(epub, make):
    made = make(epub)
    assert made.package.get("version") == "3.0"
    assert made.meta("media:active-class") == [ACTIVE]
    assert made.meta("dcterms:modified") == ["2026-05-06T07:08:09Z"]
    style = made.archive.read("OEBPS/read-along/style.css").decode()
    assert style.startswith(f".{ACTIVE} {{")
    for name in ("one.xhtml", "two.xhtml"):
        links = [link.get("href") for link in made.xml(f"OEBPS/{name}").iter(f"{{{XHTML}}}link")]
        assert links == (["style.css"] if b'"style.css"' in made.archive.read(f"OEBPS/{name}") else []) + [
            "read-along/style.css"
        ]


def test_the_text_and_the_other_files_stay_the_same(epub, make):
    made = make(epub)
    source = zipfile.ZipFile(io.BytesIO(epub.build()))
    for name in ("OEBPS/one.xhtml", "OEBPS/two.xhtml"):
        assert text_of(made.archive.read(name)) == text_of(source.read(name))
    for name in ("OEBPS/style.css", "OEBPS/cover.jpg", "META-INF/container.xml"):
        assert made.archive.read(name) == source.read(name)
    assert made.archive.namelist()[0] == "mimetype"
    assert made.archive.infolist()[0].compress_type == zipfile.ZIP_STORED
    assert not made.archive.testzip()


def test_the_layout_stays_but_for_spans(make, cover):
    made = make(epubs.epub3(cover))
    text = made.archive.read("OEBPS/one.xhtml").decode()
    assert (
        '<p class="first"><span id="s2">It was late.</span> <span id="s3">The <em id="e">cat slept. </em></span>'
        in text
    )
    assert '<span id="s4"><em>Nobody</em> saw it!</span></p>' in text, (
        "an id stays unique where an element is split"
    )
    assert "<b>“no”</b>, twice.</span><br/><span" in text


def test_ids_of_the_book_are_not_used_again(make, cover):
    made = make(epubs.epub3(cover))
    document = made.xml("OEBPS/two.xhtml")
    ids = [element.get("id") for element in document.iter() if element.get("id")]
    assert "s1" in ids and len(set(ids)) == len(ids)
    assert any("dog" in clip[0] and "barked" in clip[0] for clip in made.clips())


def test_obsolete_markup_becomes_styles(make, cover):
    made = make(epubs.epub2(cover))
    text = made.archive.read("OEBPS/two.xhtml").decode()
    assert '<h1 style="text-align: center"><a id="later"></a>' in text
    assert '<span style="color: red; font-size: larger">' in text
    assert '<div style="text-align: center"><p><span style="font-family: monospace">' in text
    assert "http-equiv" not in text and "DTD" not in text
    assert made.items["p1"].get("properties") == "svg"


def test_the_metadata_of_epub_2_is_kept_as_epub_3_has_it(make, cover):
    made = make(epubs.epub2(cover))
    package = etree.tostring(made.package).decode()
    assert "opf:" not in package and "lost.css" not in package
    (creator,) = made.package.iter("{http://purl.org/dc/elements/1.1/}creator")
    assert made.meta("role", f"#{creator.get('id')}") == ["aut"]
    assert made.meta("file-as", f"#{creator.get('id')}") == ["Author, Ann"]
    dates = [date.text for date in made.package.iter("{http://purl.org/dc/elements/1.1/}date")]
    assert dates == ["1999-01-02"]
    assert made.items["cover"].get("properties") == "cover-image"
    (nav,) = [i for i in made.items.values() if i.get("properties") == "nav"]
    links = [a.get("href") for a in made.xml(f"OEBPS/{nav.get('href')}").iter(f"{{{XHTML}}}a")]
    assert links == ["../one.xhtml", "../two.xhtml#later"]


def test_a_read_along_of_a_read_along_has_one_overlay_for_each_document(make, cover, check_epub):
    first = make(epubs.epub3(cover))
    again = make(first.path.read_bytes())
    assert check_epub(again.path) == ""
    smil = [item for item in again.items.values() if item.get("media-type") == "application/smil+xml"]
    assert len(smil) == 2
    assert [clip[0] for clip in again.clips()] == [clip[0] for clip in first.clips()]


def test_a_malformed_document_becomes_valid(make, cover, check_epub):
    page = Page(
        "", "One", "one.xhtml", raw=b"<html><body><p>Not <b>closed. At all.<p>Another & more.</body></html>"
    )
    made = make(Epub([page]))
    assert check_epub(made.path) == ""
    assert [clip[0] for clip in made.clips()] == ["Not closed.", "At all.", "Another & more."]


def test_a_novel_is_valid(make, check_epub):
    made = make(novel(chapters=3, characters=3000, version=2))
    assert check_epub(made.path) == ""
    assert len(made.clips()) == len(made.timeline.lines)


def test_a_narrator_is_named(tmp_path, cover):
    data = epubs.epub3(cover).build()
    book = read_book(data, "book.epub", BookLimits())
    spoken = read(type(book)(type(book.about)(title="T", narrator="Nora"), book.chapters))
    layout = spoken.layout()
    path = tmp_path / "out.epub"
    write_read_along(path, edition(data, spoken.book, layout), layout.timeline, layout.blocks)
    assert Made(path, spoken).meta("media:narrator") == ["Nora"]


def test_the_level_is_what_the_caller_makes_it(tmp_path, cover):
    data = epubs.epub3(cover).build()
    spoken = read(read_book(data, "book.epub", BookLimits()))
    layout = spoken.layout()
    path = tmp_path / "out.epub"
    half = Gain(-6.0)
    quiet = edition(data, spoken.book, layout)
    write_read_along(path, quiet, layout.timeline, lambda a, b: half.apply(layout.blocks(a, b), RATE))
    heard = decode(zipfile.ZipFile(path).read("OEBPS/read-along/0001.mp3"), tmp_path)
    assert np.abs(heard).max() == pytest.approx(0.15, rel=0.15)


def test_a_book_that_was_not_read_from_the_epub_is_refused(cover):
    data = epubs.epub3(cover).build()
    about = read_book(data, "book.epub", BookLimits()).about
    spoken = read(type(read_book(data, "book.epub", BookLimits()))(about, (Chapter("A", (Block("Text."),)),)))
    layout = spoken.layout()
    with pytest.raises(InvalidInput) as caught:
        edition(data, spoken.book, layout)
    assert caught.value.param == "read_along"


def test_files_that_unpack_to_too_much_are_refused(cover, monkeypatch):
    monkeypatch.setattr(edition_module, "COPIED", 5000)
    data = epubs.epub3(cover).build()
    spoken = read(read_book(data, "book.epub", BookLimits()))
    layout = spoken.layout()
    with pytest.raises(InvalidInput, match="unpack"):
        edition(data, spoken.book, layout)
