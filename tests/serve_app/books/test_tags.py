"""[voice:x]…[/voice]"""

from __future__ import annotations

from serve_app.books.tags import tagged


def test_a_tag_holds_over_blocks_and_the_innermost_wins() -> None:
    texts = [
        "Hi [voice:anna]Hello",
        "still anna[/voice] not [voice: b.1 ]x[VOICE=c]y[/voice]z[ /voice ]",
        "[voice:d][/voice]",
    ]
    found = tagged(texts)
    assert [[(p.text, p.voice) for p in parts] for parts in found.parts] == [
        [("Hi", None), ("Hello", "anna")],
        [("still anna", "anna"), ("not", None), ("x", "b.1"), ("y", "c"), ("z", "b.1")],
        [],
    ]
    assert all(
        p.text == text[slice(*p.span)] for text, parts in zip(texts, found.parts, strict=True) for p in parts
    )
    assert found.voices == {"anna", "b.1", "c"} and found.warnings == ()


def test_tags_without_their_other_half_are_warnings() -> None:
    found = tagged(["a[/voice]b", "[voice:anna]c", "d"])
    assert [[p.voice for p in parts] for parts in found.parts] == [[None, None], ["anna"], ["anna"]]
    assert len(found.warnings) == 2 and "[voice:anna] is not closed" in found.warnings[1]


def test_other_brackets_are_text() -> None:
    text = "[1] [pause:1s] [voice:] [voices:a] [/voices]"
    assert [p.text for p in tagged([text]).parts[0]] == [text]


def test_a_hundred_thousand_tags_that_close_nothing_give_a_few_warnings() -> None:
    found = tagged(["a[/voice]" * 100_000])
    assert len(found.parts[0]) == 100_000 and len(found.warnings) == 20
    assert "after 'a'" in found.warnings[0] and all(len(warning) < 200 for warning in found.warnings)
