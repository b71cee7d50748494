"""A book's own pronunciations."""

from __future__ import annotations

import pytest

from deployments.contract.errors import InvalidInput
from serve_app.books.pronunciations import Pronunciations, span_in

WORDS = {
    "gif": "jiff",
    "US": "U S",
    "Hermione": "her my oh nee",
    "new york": "noo york",
    "York": "Yawk",
    "重庆": "崇庆",
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A GIF and a Gif.", "A jiff and a jiff."),
        ("They told us of the US.", "They told us of the U S."),
        ("gifs, agif, gif-like", "gifs, agif, jiff-like"),
        ("Hermione's hat", "her my oh nee's hat"),
        ("New York and York", "noo york and Yawk"),
        ("我在重庆吃饭", "我在崇庆吃饭"),
    ],
)
def test_whole_words_are_replaced(text: str, said: str) -> None:
    assert Pronunciations(WORDS).respelled(text).text == said


def test_a_span_of_what_is_said_leads_back_to_the_text() -> None:
    text = "Then Hermione saw a GIF in New York."
    said = Pronunciations(WORDS).respelled(text)
    for spoken, written in (
        ("her my oh nee", "Hermione"),
        ("jiff", "GIF"),
        ("saw a jiff in noo york.", "saw a GIF in New York."),
    ):
        at = said.text.index(spoken)
        assert text[slice(*span_in(said, (at, at + len(spoken))))] == written


@pytest.mark.parametrize(
    "wrong", [{"": "x"}, {"a": " "}, {"a" * 101: "x"}, {"!": "x"}, {"a": "x" * 201}, {"a": 5}]
)
def test_wrong_entries_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        Pronunciations(wrong)
    assert caught.value.param == "pronunciations"


def test_too_many_words_are_refused() -> None:
    with pytest.raises(InvalidInput, match="2001 words"):
        Pronunciations({f"word{n}": "x" for n in range(2001)})
