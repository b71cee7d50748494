"""Front and back matter: what is not read aloud unless the user asks, and why."""

from __future__ import annotations

import pytest

from serve_app.books.book import Block
from serve_app.books.matter import Draft, judged
from tests.books import prose

STORY = [Draft(f"Chapter {n}", [Block(each) for each in prose(4000, n)]) for n in range(1, 6)]


def reason_of(draft: Draft, at: int) -> str | None:
    chapters, warnings = judged([*STORY[:at], draft, *STORY[at:]])
    assert not warnings and [c.reason for c in chapters if c.title.startswith("Chapter ")] == [None] * 5
    return chapters[at].reason


@pytest.mark.parametrize(
    ("title", "text", "at", "reason"),
    [
        ("Cover", "A picture", 0, "cover"),
        ("Table of Contents", "x", 0, "contents"),
        ("Words", "Copyright © 2026 by Ann. All rights reserved. ISBN 1.", 0, "copyright"),
        ("Acknowledgments", "I thank.", 5, "acknowledgements"),
        ("About the Author", "She lives.", 5, "about the author"),
        ("Also by Ann Author", "A, B", 0, "advertisement"),
        (
            "Stay in touch",
            "Sign up for my newsletter, leave a review, or see https://a.example.",
            5,
            "advertisement",
        ),
        ("Index", "x", 5, "index"),
        ("Notes", "x", 5, "notes"),
        ("版权信息", "x", 0, "copyright"),
        ("Dedication", "For B.", 0, None),
        ("Foreword", "x", 0, None),
        ("Epilogue", "x", 5, None),
        ("The Index Case", "x", 2, None),
    ],
)
def test_titles_and_texts_tell_matter_from_story(title: str, text: str, at: int, reason: str | None) -> None:
    assert reason_of(Draft(title, [Block(text)]), at) == reason


def test_a_long_chapter_with_such_a_title_is_story() -> None:
    assert reason_of(Draft("Notes", [Block(each) for each in prose(20_000)]), 2) is None


def test_the_type_outweighs_the_title() -> None:
    assert (
        reason_of(Draft("Plain Words", [Block("x")], frozenset(("doc-bibliography",))), 5) == "bibliography"
    )
    assert reason_of(Draft("Contents", [Block("x")], frozenset(("chapter",))), 3) is None


def test_links_and_page_numbers_betray_a_contents_list_and_an_index() -> None:
    lines = [Block(f"Line {n}") for n in range(8)]
    assert reason_of(Draft("Overview", lines, linked=0.9), 0) == "contents"
    entries = [Block(f"harbour {n}, 12, {n + 20}–{n + 22}") for n in range(30)]
    assert reason_of(Draft("Words", entries), 5) == "index"


def test_a_book_that_is_all_matter_is_included_with_a_warning() -> None:
    chapters, (warning,) = judged([Draft("Index", [Block("x")]), Draft("Notes", [Block("y")])])
    assert all(chapter.included and chapter.reason is None for chapter in chapters) and "all of it" in warning
