"""Pauses: of signs, of lines, and those that the text asks for."""

from __future__ import annotations

from itertools import pairwise

import pytest

from deployments.contract.errors import InvalidInput
from deployments.families.small.frontend import SmallFrontend

FRONTEND = SmallFrontend()


def pause_behind_one(text: str) -> float:
    """Seconds behind the first word; a comma's phone inside the segment counts as none."""
    return FRONTEND.segments(text)[0].pause_after


def test_signs_pause_ever_longer() -> None:
    pauses = [
        pause_behind_one(text)
        for text in ("One; two.", "One — two.", "One. Two.", "One\nTwo", "One ... two.", "One.\n\nTwo.")
    ]
    assert pauses == sorted(pauses) and len(set(pauses)) == len(pauses)
    assert all(later - sooner >= 0.05 for sooner, later in pairwise(pauses))
    assert len(FRONTEND.segments("One, two.")) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wait [pause:1.5s] go.", [("wait", 0), ("", 1.5), ("go", 0.6)]),
        ("[pause:300ms]Go.", [("", 0.3), ("go", 0.6)]),
        ("Go.[pause:2s]", [("go", 0), ("", 2)]),
        ("[pause:30s]", [("", 30)]),
        ("[pause:1s][pause:2s]", [("", 1), ("", 2)]),
        ("[PAUSE: 1 s] ok", [("", 1), ("ok", 0.6)]),
        ("... [pause:.5s] ...", [("", 0.5)]),
        ('Wait <break time="750ms"/> go.', [("wait", 0), ("", 0.75), ("go", 0.6)]),
        ("One.\n\n[pause:0s]\n\nTwo.", [("one", 0), ("", 0), ("two", 0.6)]),
    ],
)
def test_a_pause_is_a_silent_segment(text: str, expected: list[tuple[str, float]]) -> None:
    found = FRONTEND.segments(text)
    assert [(s.spoken, s.pause_after) for s in found] == expected
    for segment in found:
        assert bool(segment.spoken) == bool(len(segment.token_ids))
        assert segment.span is not None and text[slice(*segment.span)] == segment.text
    assert "".join(s.text for s in found).replace(" ", "").replace("\n", "") == "".join(text.split())


@pytest.mark.parametrize(
    "tag",
    ["31s", "30.01s", "1e9s", "30001ms", "-1s", "soon", "", "1h", "999999999999s", "½s"],
)
def test_other_pauses_are_refused(tag: str) -> None:
    for check in (FRONTEND.segments, FRONTEND.check):
        with pytest.raises(InvalidInput, match="0 to 30 seconds") as caught:
            check(f"Hello [pause:{tag}] there.")
        assert (caught.value.param, caught.value.code) == ("input", "invalid_pause")
