"""Hostile and broken files: a clear error that names the field, or a warning, in bounded time and memory."""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import replace

import pytest

from deployments.contract.errors import InvalidInput
from serve_app.books.book import Book
from serve_app.books.limits import BookLimits
from serve_app.books.read import read_book
from tests.books import Epub, Page, novel

GOOD = Page("<h1>One</h1><p>Good text.</p>", "One")
STORED = zipfile.ZIP_STORED


def refusal(data: bytes, name: str = "book.epub", limits: BookLimits | None = None) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        read_book(data, name, limits)
    assert caught.value.param == "file"
    return caught.value


def raw(document: str | bytes, compression: int = STORED) -> Epub:
    data = document.encode() if isinstance(document, str) else document
    return Epub([GOOD, Page("", None, raw=data)], compression=compression)


def text_of(book: Book) -> str:
    return " ".join(block.text for chapter in book.chapters for block in chapter.blocks)


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"", "book.epub", "empty"),
        (b"", "book.txt", "empty"),
        (b" \n\t", "book.txt", "empty"),
        (b"plain text", "book.epub", "not an EPUB"),
        (b"%PDF-1.7", "book.epub", "a PDF"),
        (b"%PDF-1.7", "book.txt", "a PDF"),
        (b"{\\rtf1}", "book.txt", "RTF"),
        (bytes(60) + b"BOOKMOBI" + bytes(99), "book.epub", "Kindle"),
        (b"text", "book.docx", "must end in"),
        (b"text", "book", "must end in"),
        (b"PK\3\4" + bytes(100), "book.epub", "damaged"),
        (b"one\0two", "book.txt", "NUL"),
        (bytes(range(1, 256)) * 9, "book.txt", "encoding"),
        (b"***\n\n---\n", "book.txt", "no text"),
    ],
)
def test_a_file_that_is_not_a_book_is_refused(data: bytes, name: str, message: str) -> None:
    assert message in refusal(data, name).message


def test_an_epub_with_another_ending_is_read_with_a_warning() -> None:
    book = read_book(Epub([GOOD]).build(), "book.txt")
    assert book.chapters[0].title == "One" and book.warnings == ("it was read as an EPUB",)


def test_a_truncated_or_flipped_archive_is_refused() -> None:
    data = novel(2, 2000).build()
    assert "damaged" in refusal(data[: len(data) // 2]).message
    at = data.index(b"p0002.xhtml") + 60
    assert (
        "damaged"
        in refusal(data[:at] + bytes(b ^ 0xFF for b in data[at : at + 40]) + data[at + 40 :]).message
    )


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = raw(b"<p>" + b"a" * 9_000_000 + b"</p>", zipfile.ZIP_DEFLATED).build()
    assert len(bomb) < 20_000 and "compressed more than 200-fold" in refusal(bomb).message
    assert "bytes (allowed" in refusal(raw(b"x" * 17 * 2**20, zipfile.ZIP_DEFLATED).build()).message


def test_a_false_size_in_the_archive_does_not_unpack_more_than_it_says() -> None:
    data = bytearray(raw(b"<p>" + b"a" * 2_000_000 + b"</p>", zipfile.ZIP_DEFLATED).build())
    at = data.rindex(b"PK\1\2", 0, data.rindex(b"p0001.xhtml"))
    struct.pack_into("<L", data, at + 24, 100)  # the size of the unpacked file
    assert "damaged" in refusal(bytes(data)).message


def test_the_whole_book_has_a_limit_on_bytes_characters_tags_files_and_chapters() -> None:
    data = novel(20, 60_000).build()
    for field, value in {
        "file": 1000,
        "entries": 5,
        "directory": 500,
        "document": 1000,
        "unpacked": 20_000,
        "characters": 20_000,
        "tags": 200,
        "chapters": 10,
    }.items():
        assert "Invalid 'file'" in refusal(data, limits=replace(BookLimits(), **{field: value})).message


def test_five_thousand_chapters_are_read_and_ten_thousand_and_one_refused() -> None:
    text = "".join(f"Chapter {n}\n\nText of it.\n\n" for n in range(1, 10_002)).encode()
    assert "10001 chapters" in refusal(text, "book.txt").message
    pages = [Page(f"<p>Chapter {n}</p>", f"Chapter {n}") for n in range(5000)]
    assert len(read_book(Epub(pages).build(), "book.epub").chapters) == 5000


@pytest.mark.parametrize("name", ["../outside.xhtml", "/etc/passwd", "OEBPS/../../x", "a\\..\\..\\b", "C:/x"])
def test_a_file_outside_the_archives_folder_is_refused(name: str) -> None:
    assert "outside its folder" in refusal(Epub([GOOD], files={name: b"x"}).build()).message


@pytest.mark.parametrize(
    "href", ["../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "http://example.com/a"]
)
def test_a_reference_outside_the_book_is_a_missing_file(href: str) -> None:
    epub = Epub([GOOD], manifest=f'<item id="x" href="{href}" media-type="application/xhtml+xml"/>')
    epub.spine = '<spine><itemref idref="x"/><itemref idref="p0"/></spine>'
    book = read_book(epub.build(), "book.epub")
    assert len(book.chapters) == 1 and "1 of the files in its spine" in book.warnings[0]


@pytest.mark.parametrize(
    "entity", ['SYSTEM "file:///etc/passwd"', 'PUBLIC "x" "http://127.0.0.1:9/x"', '"inside"']
)
def test_entities_are_neither_fetched_nor_expanded(entity: str) -> None:
    document = f"<!DOCTYPE html [<!ENTITY x {entity}>]><html><body><p>A&x;b</p></body></html>"
    assert text_of(read_book(raw(document).build(), "book.epub")) == "One Good text. Ab"


def test_a_billion_laughs_stay_one() -> None:
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    document = f'<!DOCTYPE html [<!ENTITY a0 "ha">{laughs}]><html><body><p>A&a11;b</p></body></html>'
    assert text_of(read_book(raw(document).build(), "book.epub")).endswith("Ab")
    package = Epub([GOOD]).members()["OEBPS/book.opf"]
    assert isinstance(package, str)
    evil = package.replace("<package", f'<!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]><package').replace(
        "Ann", "&a11;"
    )
    assert read_book(
        Epub([GOOD], files={"OEBPS/book.opf": evil.encode()}).build(), "b.epub"
    ).about.authors == ("Author",)


def test_ampersands_that_begin_no_entity_are_text() -> None:
    document = "<html><body><p>A&&amp;&&x &lt;&nbsp;&#65;&#x42;& C&unknown;&;</p></body></html>"
    assert text_of(read_book(raw(document).build(), "book.epub")).endswith("A&&&&x < AB& C&;")


def test_a_prolog_of_a_hundred_thousand_comments_is_passed_over() -> None:
    document = f"{'<!---->' * 100_000}<!DOCTYPE html><html><body><p>The text.</p></body></html>"
    assert text_of(read_book(raw(document).build(), "book.epub")).endswith("The text.")


def test_a_second_document_type_is_refused() -> None:
    document = '<!DOCTYPE a><!DOCTYPE b [<!ENTITY x "y">]><html><body>&x;</body></html>'
    assert "document type" in refusal(raw(document).build()).message


def test_work_that_takes_longer_than_the_budget_is_refused() -> None:
    limits = replace(BookLimits(), seconds=0.01)
    assert "takes more than 0.01 s" in refusal(raw("<b/>" * 300_000).build(), limits=limits).message


def test_deep_markup_is_refused_wherever_it_is() -> None:
    deep = "<div>" * 5000 + "x" + "</div>" * 5000
    assert "nested too deeply" in refusal(raw(f"<html><body>{deep}</body></html>").build()).message
    assert "nested too deeply" in refusal(Epub([GOOD], metadata=deep).build()).message


@pytest.mark.parametrize("spine", ["", "<spine/>", '<spine><itemref idref="nothing"/></spine>'])
def test_a_book_without_a_spine_is_refused(spine: str) -> None:
    assert "spine" in refusal(Epub([GOOD], spine=spine).build()).message


def test_a_book_without_a_package_or_text_is_refused() -> None:
    assert "no text" in refusal(Epub([Page("<p>* * *</p>", "One")]).build()).message
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    assert "not an EPUB" in refusal(out.getvalue()).message


def test_a_missing_container_is_replaced_by_the_package_itself() -> None:
    assert read_book(Epub([GOOD], container=None).build(), "book.epub").chapters[0].title == "One"


def encryption(name: str, algorithm: str) -> dict[str, bytes]:
    return {
        "META-INF/encryption.xml": (
            '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" '
            'xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData><enc:EncryptionMethod '
            f'Algorithm="{algorithm}"/><enc:CipherData><enc:CipherReference URI="{name}"/></enc:CipherData>'
            "</enc:EncryptedData></encryption>"
        ).encode()
    }


def test_drm_of_the_text_is_refused_and_of_fonts_is_not() -> None:
    aes = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
    error = refusal(Epub([GOOD], files=encryption("OEBPS/text/p0000.xhtml", aes)).build())
    assert error.code == "protected" and "DRM" in error.message
    font = encryption("OEBPS/font.otf", "http://www.idpf.org/2008/embedding") | {"OEBPS/font.otf": b"x"}
    assert read_book(Epub([GOOD], files=font).build(), "book.epub").chapters


def test_an_encrypted_entry_is_refused() -> None:
    data = bytearray(Epub([GOOD]).build())
    at = data.rindex(b"PK\1\2", 0, data.rindex(b"p0000.xhtml"))
    data[at + 8] |= 1
    assert refusal(bytes(data)).code == "encrypted"


def test_a_contents_list_that_cannot_be_read_is_a_warning() -> None:
    deep = b"<ol><li>" * 300
    book = read_book(Epub([GOOD], files={"OEBPS/nav.xhtml": deep}).build(), "book.epub")
    assert book.chapters[0].title == "One" and "contents list cannot be read" in book.warnings[0]


def test_a_spine_that_repeats_a_document_reads_it_once() -> None:
    epub = Epub([GOOD], spine="<spine>" + '<itemref idref="p0"/>' * 1000 + "</spine>")
    assert text_of(read_book(epub.build(), "book.epub")) == "One Good text."
