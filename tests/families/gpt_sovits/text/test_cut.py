"""The published cut methods: the golden paragraph, the edges, and laws that hold for any text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.families.gpt_sovits.text import cut


@pytest.mark.parametrize("method", cut.METHODS)
def test_the_golden_paragraph_is_cut_as_published(texts: dict[str, Any], method: cut.Method) -> None:
    paragraph, expected = texts["cut"]["paragraph"], texts["cut"]["methods"][method]
    assert cut.cut(paragraph, method) == expected["raw"]
    assert cut.pieces(cut.collapsed(paragraph), method) == expected["pre_seg"]


def test_short_starts_and_short_pieces_are_as_published(texts: dict[str, Any]) -> None:
    for case in texts["pre_seg_edge"]:
        expected = (
            [] if isinstance(case["out"], str) else case["out"]
        )  # there an exception; here nothing to speak
        found = cut.pieces(cut.collapsed(case["text"]), case["cut"], case["lang"])
        assert found == expected, case


def test_a_long_piece_is_cut_at_its_marks(texts: dict[str, Any]) -> None:
    assert cut.pieces(texts["split_big"]["text"], "cut0") == texts["split_big"]["out"]


@pytest.mark.parametrize("method", cut.METHODS)
@given(text=st.text(st.sampled_from("好 a7Z，。,.!?…—:;、\n-~"), max_size=80))
@settings(max_examples=150, deadline=None)
def test_no_letter_is_lost_added_or_moved(method: cut.Method, text: str) -> None:
    pieces = cut.pieces(text, method)
    assert re.findall(r"\w", "".join(pieces)) == re.findall(r"\w", text)
    for piece in pieces:
        assert piece[-1] in cut.ENDS and re.search(r"\w", piece) and len(piece) <= cut.LONGEST


def test_a_piece_without_any_mark_is_cut_too() -> None:
    pieces = cut.pieces("好" * 1200, "cut5")
    assert "".join(pieces).strip("。") == "好" * 1200 and max(map(len, pieces)) <= cut.LONGEST
