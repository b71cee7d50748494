"""A script as a book, and a book as a script."""

from __future__ import annotations

import pytest

from deployments.contract.errors import InvalidInput
from serve_app.books.read import read_book
from serve_app.books.script import read_script, script_of, speakers_of
from tests.books import novel


def test_lines_become_blocks_with_speakers_in_chapters() -> None:
    book = read_script(
        [
            {"speaker": "anna", "text": "Hello  there.", "chapter": "One"},
            {"speaker": "ben", "text": "Hi."},
            {"text": "They left.", "chapter": "Two"},
        ],
        title="A Play",
    )
    assert [(c.title, [(b.speaker, b.text) for b in c.blocks]) for c in book.chapters] == [
        ("One", [("anna", "Hello there."), ("ben", "Hi.")]),
        ("Two", [(None, "They left.")]),
    ]
    assert speakers_of(book) == ("anna", "ben")


def test_the_script_of_a_book_reads_back_as_its_included_chapters() -> None:
    book = read_book(novel(3, 3000).build(), "book.epub")
    again = read_script(script_of(book))
    wanted = [(c.title, [b.text for b in c.blocks]) for c in book.chapters if c.included]
    assert [(c.title, [b.text for b in c.blocks]) for c in again.chapters] == wanted


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "at least one"),
        ("text", "list"),
        ([1], "line 0"),
        ([{"text": "a"}, {"speaker": "b"}], "line 1 has no text"),
        ([{"text": 5}], "text of line 0 must be text"),
        ([{"text": "a", "speaker": "s" * 65}], "65 characters"),
    ],
)
def test_a_malformed_script_names_the_line(lines: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        read_script(lines)
    assert caught.value.param == "script"


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Unknown field 'mood'"):
        read_script([{"text": "a", "mood": "sad"}])
