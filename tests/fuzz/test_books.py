"""Books of any bytes: what the readers accept can be worked with; everything else is refused as the client's fault."""

from __future__ import annotations

import struct
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contract.errors import InvalidInput
from serve_app.books import subtitles
from serve_app.books.atoms import Unreadable, add_freeform
from serve_app.books.book import Book
from serve_app.books.limits import BookLimits
from serve_app.books.pronunciations import Pronunciations, span_in
from serve_app.books.read import read_book
from serve_app.books.script import read_script, script_of
from serve_app.books.timeline import Line
from tests.books import Epub, Page

LIMITS = BookLimits()
TEXT = st.text(st.characters(), max_size=30)
# what documents are made of, and what their readers look for
PIECES = (
    st.sampled_from(
        [
            "# One",
            "Chapter 1",
            "***",
            "---",
            "\n",
            "\n\n",
            "> ",
            "* ",
            "| a | b |",
            "```",
            "[a](b)",
            "![p](q.png)",
            "I.",
            "　",
            "第一章",
            "\ufeff",
            "\0",
            "\x85",
            "<p>",
            "</p>",
            "<h1 id='a'>",
            "</h1>",
            "<body",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "&amp;",
            "&#0;",
            "&#xD800;",
            "&x;",
            "<!DOCTYPE x [<!ENTITY x 'y'>",
            "<table><tr><td>",
            "<a href='#a'>",
            "<br/>",
            "<?x",
        ]
    )
    | TEXT
)
DOCUMENT = st.lists(PIECES, max_size=20).map("".join)
BYTES = (
    st.binary(max_size=60)
    | DOCUMENT.map(lambda text: text.encode("utf-8", "surrogatepass"))
    | DOCUMENT.map(lambda text: text.encode("utf-16", "surrogatepass"))
)


def check(book: Book) -> None:
    """A book that was read has text, which can be spoken and stored."""
    assert any(block.text for chapter in book.chapters for block in chapter.blocks)
    for chapter in book.chapters:
        chapter.title.encode()
        for block in chapter.blocks:
            block.text.encode()
            assert "\0" not in block.text
    read_script(script_of(book) or [{"text": "-"}])


@pytest.mark.parametrize("name", ["book.txt", "book.md"])
@given(data=BYTES)
@settings(max_examples=50)
def test_a_text_of_any_bytes(name: str, data: bytes) -> None:
    with suppress(InvalidInput):
        check(read_book(data, name, LIMITS))


@given(
    document=BYTES,
    members=st.dictionaries(
        st.sampled_from(["META-INF/container.xml", "OEBPS/book.opf", "OEBPS/nav.xhtml", "META-INF/encryption.xml"]),
        BYTES,
        max_size=1,
    ),
    fields=st.fixed_dictionaries(
        {},
        optional={
            "title": DOCUMENT, "language": DOCUMENT, "metadata": DOCUMENT, "landmarks": DOCUMENT, "guide": DOCUMENT,
            "manifest": DOCUMENT, "spine": DOCUMENT, "version": st.sampled_from([2, 3]),
        },
    ),
)  # fmt: skip
@settings(max_examples=50)
def test_an_epub_of_any_parts(document: bytes, members: dict[str, bytes], fields: dict[str, Any]) -> None:
    for name in fields.keys() - {"version"}:
        fields[name] = fields[name].encode("utf-8", "replace").decode()
    pages = [Page("<h1>One</h1><p>Good text.</p>", "One"), Page("", "Two", raw=document)]
    with suppress(InvalidInput):
        check(read_book(Epub(pages, files=members, **fields).build(), "book.epub", LIMITS))


@given(data=st.data())
@settings(max_examples=50)
def test_a_damaged_archive(data: st.DataObject) -> None:
    book = bytearray(Epub([Page("<h1>One</h1><p>Good text.</p>", "One")], compression=0).build())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(book) - 1))
        book[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    with suppress(InvalidInput):
        check(read_book(b"PK\3\4" + bytes(book[4:]), "book.epub", LIMITS))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
LINES = st.fixed_dictionaries({}, optional=dict.fromkeys(("speaker", "text", "chapter"), TEXT | VALUES))


SPOKEN = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30)
LIKELY = st.fixed_dictionaries(
    {"text": SPOKEN.map("A".__add__)}, optional={"speaker": SPOKEN, "chapter": SPOKEN}
)


@given(st.lists(LIKELY, min_size=1, max_size=5) | st.lists(LINES | VALUES, max_size=5) | VALUES)
@settings(max_examples=50)
def test_a_script_of_any_values(lines: object) -> None:
    with suppress(InvalidInput):
        check(read_script(lines, limits=LIMITS))


@given(st.dictionaries(TEXT, TEXT, max_size=5), TEXT | st.text("abAB éß中İ'-", max_size=30))
@settings(max_examples=50)
def test_respellings_keep_their_places_in_the_text(words: dict[str, str], text: str) -> None:
    words |= {"ab": "x", "İ": "i", "中": "zhong", "ß a": "ss"}
    with suppress(InvalidInput):
        said = Pronunciations(words).respelled(text)
        size = len(said.text)
        begin, end = span_in(said, (0, size))
        assert begin <= end <= len(text)
        for at in range(size):
            begin, end = span_in(said, (at, at + 1))
            assert 0 <= begin <= end <= len(text)


@given(st.lists(st.tuples(TEXT | st.text("ab中。, ()", max_size=200), st.integers(0, 90_000)), max_size=4))
@settings(max_examples=50)
def test_subtitles_of_any_text_have_times_in_order(spoken: list[tuple[str, int]]) -> None:
    lines, at = [], 0
    for text, length in spoken:
        lines.append(Line(0, 0, (0, len(text)), text, at, at + length))
        at += length
    found = list(subtitles.cues(lines, 16_000))
    assert all(cue.begin <= cue.end and cue.rows for cue in found)
    assert all(one.end <= next.begin for one, next in pairwise(found))
    written = "".join(subtitles.srt(lines, 16_000))
    assert written.count("-->") == len(found) and "".join(subtitles.vtt(lines, 16_000)).count("-->") == len(
        found
    )


def _atom(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


@given(data=st.data())
@settings(max_examples=60)
def test_an_mp4_of_any_atoms(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    offsets = data.draw(st.lists(st.integers(0, 2**32 - 1), max_size=3))
    table = _atom(b"stco", struct.pack(f">II{len(offsets)}I", 0, len(offsets), *offsets))
    track = _atom(b"trak", _atom(b"mdia", _atom(b"minf", _atom(b"stbl", table))))
    values = _atom(b"udta", _atom(b"meta", bytes(4) + _atom(b"ilst", b"")))
    film = bytearray(_atom(b"ftyp", b"M4A ") + _atom(b"moov", track + values) + _atom(b"mdat", bytes(9)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(film) - 1))
        film[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    source, target = folder / "fuzz.m4b", folder / "fuzz-more.m4b"
    source.write_bytes(film)
    with suppress(Unreadable):
        add_freeform(Path(source), Path(target), {"series": "x" * data.draw(st.integers(0, 300))})
        assert target.stat().st_size > source.stat().st_size
