"""Title, people, series and ISBN of an EPUB."""

from __future__ import annotations

import pytest

from serve_app.books.book import About
from serve_app.books.read import read_book
from tests.books import Epub, Page


def about(metadata: str, version: int = 3) -> About:
    return read_book(Epub([Page("<p>x</p>", "One")], version, metadata=metadata).build(), "book.epub").about


def test_roles_tell_authors_from_narrators_and_translators_in_both_versions() -> None:
    three = (
        '<dc:creator id="a">Ann</dc:creator><meta refines="#a" property="role">aut</meta>'
        '<dc:creator id="t">Tom</dc:creator><meta refines="#t" property="role">trl</meta>'
        '<dc:contributor id="n">Nell</dc:contributor><meta refines="#n" property="role">nrt</meta>'
    )
    two = (
        '<dc:creator opf:role="aut">Ann</dc:creator><dc:creator opf:role="trl">Tom</dc:creator>'
        '<dc:contributor opf:role="nrt">Nell</dc:contributor>'
    )
    for found in (about(three), about(two, 2)):
        assert (found.authors, found.narrator) == (("Ann",), "Nell")
    assert about("<dc:creator>Ann</dc:creator><dc:creator>Ben</dc:creator>").authors == ("Ann", "Ben")


def test_series_of_epub_3_and_of_calibre() -> None:
    collection = (
        '<meta property="belongs-to-collection" id="c">The Saga</meta>'
        '<meta refines="#c" property="collection-type">series</meta>'
        '<meta refines="#c" property="group-position">2</meta>'
    )
    calibre = (
        '<meta name="calibre:series" content="The Saga"/><meta name="calibre:series_index" content="2.0"/>'
    )
    for found in (about(collection), about(calibre, 2)):
        assert (found.series, found.part) == ("The Saga", "2")
    assert about(collection.replace(">series<", ">set<")).series == ""


@pytest.mark.parametrize(
    ("identifier", "isbn"),
    [
        ("<dc:identifier>urn:isbn:9780306406157</dc:identifier>", "9780306406157"),
        ('<dc:identifier opf:scheme="ISBN">0-306-40615-2</dc:identifier>', "0306406152"),
        ("<dc:identifier>978-0-306-40615-7</dc:identifier>", "9780306406157"),
        ("<dc:identifier>978-0-306-40615-8</dc:identifier>", ""),
        ("<dc:identifier>1234567890</dc:identifier>", ""),
    ],
)
def test_only_a_valid_isbn_counts(identifier: str, isbn: str) -> None:
    assert about(identifier).isbn == isbn


def test_the_other_fields() -> None:
    found = about(
        "<dc:description>&lt;p&gt;A &lt;b&gt;bold&lt;/b&gt; tale.&lt;/p&gt;</dc:description>"
        "<dc:publisher>House</dc:publisher>"
        "<dc:date>2024-05-01T00:00:00Z</dc:date><dc:subject>Fiction</dc:subject><dc:subject>Sea</dc:subject>"
    )
    assert (found.title, found.language, found.description) == ("A Test Book", "en", "A bold tale.")
    assert (found.publisher, found.date, found.genres) == ("House", "2024-05-01", ("Fiction", "Sea"))


def test_references_to_characters_that_xml_lacks_are_dropped() -> None:
    references = "&#xD800;&#57343;&#0;&#x1;&#xFFFF;&#x110000;&#9999999;"
    assert about(f"<dc:publisher>A{references}&#66;&#x43;</dc:publisher>").publisher == "ABC"
    doubled = references.replace("&", "&amp;")
    described = about(f"<dc:description>&lt;p>A{doubled}B&lt;/p></dc:description>")
    assert described.description == "AB"
