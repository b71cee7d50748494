"""EPUB 2 and 3: chapters, titles and order."""

from __future__ import annotations

import pytest

from serve_app.books.book import Book
from serve_app.books.limits import BookLimits
from serve_app.books.read import read_book
from serve_app.books.xhtml import read_document
from tests.books import PNG, Epub, Page, novel, prose


def read(epub: Epub) -> Book:
    return read_book(epub.build(), "book.epub")


def titles(book: Book) -> list[str]:
    return [chapter.title for chapter in book.chapters]


def text_of(book: Book, i: int) -> str:
    return " | ".join(block.text for block in book.chapters[i].blocks)


@pytest.mark.parametrize("version", [2, 3])
def test_a_novel_has_its_chapters_and_every_paragraph(version: int) -> None:
    book = read(novel(20, 60_000, version))
    assert titles(book)[2:] == [f"Chapter {n}" for n in range(1, 21)]
    assert [chapter.reason for chapter in book.chapters[:3]] == ["title page", "copyright", None]
    for n in range(1, 21):
        chapter = book.chapters[n + 1]
        assert [block.text for block in chapter.blocks] == [f"Chapter {n}", *prose(3000, n)]
        assert chapter.included and chapter.blocks[0].kind == "heading"
    assert sum(chapter.characters for chapter in book.chapters) > 60_000 and book.warnings == ()


@pytest.mark.parametrize("version", [2, 3])
def test_fragments_of_the_contents_cut_one_document_into_chapters(version: int) -> None:
    body = (
        '<p>Motto.</p><h2 id="a">One</h2><p>First.</p><h2>Two</h2><p id="b">Second.</p>'
        '<h2 id="c">Three</h2><p>Third.</p>'
    )
    name = "text/p0000.xhtml"
    entries = [("One", f"{name}#a", []), ("Two", f"{name}#b", []), ("Three", f"{name}#c", [])]
    book = read(Epub([Page(body)], version, entries=entries))
    assert [text_of(book, i) for i in range(4)] == [
        "Motto.",
        "One | First. | Two",
        "Second.",
        "Three | Third.",
    ]
    assert titles(book)[1:] == ["One", "Two", "Three"]


def test_a_chapter_goes_on_over_documents_that_the_contents_do_not_name() -> None:
    pages = [Page("<h1>Alpha</h1><p>a</p>", "Alpha"), Page("<p>b</p>"), Page("<h3>Later</h3><p>c</p>")]
    book = read(Epub([*pages, Page("<h1>Beta</h1><p>d</p>", "Beta"), Page("<p>e</p>", "Gamma")]))
    assert titles(book) == ["Alpha", "Beta", "Gamma"]
    assert text_of(book, 0) == "Alpha | a | b | Later | c"
    assert {block.source.href for block in book.chapters[0].blocks if block.source} == {
        f"OEBPS/text/p000{i}.xhtml" for i in range(3)
    }


def test_a_chapter_that_the_contents_forgot_begins_where_its_heading_says_so() -> None:
    pages = [Page(f"<h1>Chapter {n}</h1><p>x</p>", None if n == 3 else f"Chapter {n}") for n in range(1, 6)]
    assert titles(read(Epub(pages))) == [f"Chapter {n}" for n in range(1, 6)]


def test_sections_are_not_chapters_but_chapters_of_a_part_are() -> None:
    body = '<h1>{0}</h1><p>x</p><h2 id="s">Section</h2><p>y</p>'
    name = "text/p000{}.xhtml"
    entries = [(f"Subject {i}", name.format(i), [("A section", f"{name.format(i)}#s", [])]) for i in range(3)]
    book = read(Epub([Page(body.format(f"Subject {i}")) for i in range(3)], entries=entries))
    assert titles(book) == ["Subject 0", "Subject 1", "Subject 2"]
    part = '<h1 id="p">Part One</h1><h2 id="a">Chapter 1</h2><p>x</p><h2 id="b">Chapter 2</h2><p>y</p>'
    inner = [("Chapter 1", f"{name.format(0)}#a", []), ("Chapter 2", f"{name.format(0)}#b", [])]
    book = read(Epub([Page(part)], entries=[("Part One", f"{name.format(0)}#p", inner)]))
    assert titles(book) == ["Part One. Chapter 1", "Chapter 2"]


def test_without_contents_the_headings_make_chapters() -> None:
    body = "<h1>One</h1><p>a</p><h1>Two</h1><p>b</p>"
    book = read(Epub([Page(body), Page("<h1>Three</h1><p>c</p>"), Page("<p>d</p>")], nav=False))
    assert titles(book) == ["One", "Two", "Three"] and text_of(book, 2) == "Three | c | d"


def test_the_contents_and_documents_out_of_the_reading_order_are_not_included() -> None:
    pages = [Page("<h1>Chapter 1</h1><p>x</p>", "Chapter 1"), Page("<p>Aside.</p>", "A map", linear=False)]
    book = read(Epub(pages, nav_in_spine=True))
    assert [(chapter.included, chapter.reason) for chapter in book.chapters] == [
        (False, "contents"),
        (True, None),
        (False, "not in the reading order"),
    ]


def test_landmarks_and_guide_name_matter_that_its_title_does_not() -> None:
    pages = [Page("<p>Some words.</p>", "Words"), Page("<h1>Chapter 1</h1><p>x</p>", "Chapter 1")]
    mark = '<li><a epub:type="copyright-page" href="text/p0000.xhtml">Rights</a></li>'
    assert read(Epub(pages, landmarks=mark)).chapters[0].reason == "copyright"
    guide = '<reference type="copyright-page" title="Rights" href="text/p0000.xhtml"/>'
    assert read(Epub(pages, 2, guide=guide)).chapters[0].reason == "copyright"


def test_a_source_finds_the_same_text_in_the_document_again() -> None:
    epub = novel(2, 4000)
    members = epub.members()
    for chapter in read(epub).chapters:
        for block in chapter.blocks:
            assert block.source is not None
            data = members[block.source.href]
            found = read_document(
                data.encode() if isinstance(data, str) else data, "x", BookLimits()
            ).passages
            assert [p.text for p in found if p.source(block.source.href) == block.source] == [block.text]


def test_hrefs_with_escapes_and_other_case_are_found() -> None:
    page = Page("<p>Text.</p>", name="text/Ch%20One.xhtml")
    epub = Epub([page], files={"OEBPS/Text/ch one.xhtml": b"<html><body><p>Found.</p></body></html>"})
    assert text_of(read(epub), 0) == "Found."


def test_a_document_without_text_is_a_warning() -> None:
    book = read(Epub([Page('<p><img src="x.png" alt=""/></p>', "Plate"), Page("<p>x</p>", "One")]))
    assert titles(book) == ["One"] and "contains no text" in book.warnings[0]


def test_a_fallback_of_a_foreign_document_is_read() -> None:
    manifest = '<item id="svg" href="a.svg" media-type="image/svg+xml" fallback="p0"/>'
    epub = Epub([Page("<p>Text.</p>")], manifest=manifest, spine='<spine><itemref idref="svg"/></spine>')
    epub.files["OEBPS/a.svg"] = b"<svg/>"
    assert text_of(read(epub), 0) == "Text."


@pytest.mark.parametrize(
    "fields",
    [
        {"manifest": '<item id="c" href="c.png" media-type="image/png" properties="cover-image"/>'},
        {
            "manifest": '<item id="c" href="c.png" media-type="image/png"/>',
            "metadata": '<meta name="cover" content="c"/>',
        },
        {"guide": '<reference type="cover" href="c.png" title="Cover"/>'},
        {"guide": '<reference type="cover" href="text/p0000.xhtml" title="Cover"/>'},
    ],
)
def test_the_cover_is_found_in_all_usual_places(fields: dict[str, str]) -> None:
    epub = Epub([Page('<img src="../c.png" alt=""/><p>x</p>', "One")], **fields)  # type: ignore[arg-type]
    epub.files["OEBPS/c.png"] = PNG
    assert read(epub).cover == PNG


def test_a_cover_that_is_no_picture_is_a_warning() -> None:
    manifest = '<item id="c" href="c.webp" media-type="image/webp" properties="cover-image"/>'
    book = read(Epub([Page("<p>x</p>", "One")], manifest=manifest, files={"OEBPS/c.webp": b"RIFF"}))
    assert book.cover is None and book.warnings == ("its cover is neither JPEG nor PNG",)


SOME = "<p>It went on for a while, as it always did in those days.</p>" * 3


@pytest.mark.parametrize("entries", [[], [("Start", "titlepage.xhtml", [])]])
def test_bold_paragraphs_begin_chapters_where_a_converter_left_neither_headings_nor_contents(entries) -> None:
    pages = [
        Page("<div><img src='cover.jpeg' alt='cover'/></div>", None, "titlepage.xhtml"),
        Page("<p><b>My Book</b></p><p>By Ann</p>", None, "index_split_000.html"),
        Page(f'<p class="c3"><b>Chapter 1</b></p>{SOME}', None, "index_split_001.html"),
        Page(SOME, None, "index_split_002.html"),
        Page(f'<p class="c3"><b>Chapter 2</b></p>{SOME}', None, "index_split_003.html"),
    ]
    book = read(Epub(pages, version=2, entries=entries))
    assert titles(book)[1:] == ["Chapter 1", "Chapter 2"]
    assert text_of(book, 1).count("It went on") == 6


def test_a_contents_list_on_the_title_page_of_project_gutenberg_is_not_included() -> None:
    rows = "".join(
        f'<tr><td><a href="c{n}.xhtml#c{n}">CHAPTER {n}.</a></td><td>Down</td></tr>' for n in (1, 2)
    )
    front = f'<h1 id="t">Alice</h1><h2 id="by">by Lewis</h2><h2 id="toc">Contents</h2><table>{rows}</table>'
    chapters = [Page(f'<h2 id="c{n}">CHAPTER {n}.<br/>Down</h2>{SOME}', None, f"c{n}.xhtml") for n in (1, 2)]
    inner = [("by Lewis", "front.xhtml#by", []), ("Contents", "front.xhtml#toc", [])]
    inner += [(f"CHAPTER {n}. Down", f"c{n}.xhtml#c{n}", []) for n in (1, 2)]
    inner += [("THE FULL LICENSE", "c2.xhtml#lost", [])]
    book = read(
        Epub([Page(front, None, "front.xhtml"), *chapters], entries=[("Alice", "front.xhtml#t", inner)])
    )
    assert [(c.title, c.reason) for c in book.chapters] == [
        ("Alice", None),
        ("Contents", "contents"),
        ("CHAPTER 1. Down", None),
        ("CHAPTER 2. Down", None),
    ]
