"""Sentences are split as in the published code."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deployments.families.indextts.text.split import APOSTROPHES, split_sentences

PIECES = st.lists(
    st.sampled_from(["A", "▁B", ",", "▁,", "-", "'", "▁'", ".", "▁?", "!", "▁..."]), max_size=60
)


def test_golden_probes(cases: dict[str, Any]) -> None:
    for probe in cases["splitter_probes"]:
        assert split_sentences(probe["pieces"], probe["max_tokens"]) == probe["result"]


def test_golden_sentences(cases: dict[str, Any]) -> None:
    for case in cases["sentences"]:
        for limit, lengths in case["split"].items():
            assert [len(sentence) for sentence in split_sentences(case["pieces"], int(limit))] == lengths


def test_an_apostrophe_after_an_end_mark_occurs_twice() -> None:
    assert split_sentences(["A", "A", ".", "'", "A"], 4) == [["A", "A", ".", "'"], ["'", "A"]]
    assert split_sentences(["A", "A", ".", "'", "A"], 3) == [["A", "A", ".", "'"], ["'", "A"]]


def test_a_sentence_without_usable_marks_is_sliced() -> None:
    assert split_sentences(["-", "A", "A", "A", ","], 4) == [["-", "A", "A", "A"], [","]]


@given(PIECES, st.integers(1, 12))
@example(["-", "A", "A", "A", ","], 4)
@example([], 1)
def test_nothing_is_lost_and_only_an_apostrophe_can_exceed_the_limit(pieces: list[str], limit: int) -> None:
    sentences = split_sentences(pieces, limit)
    assert all(0 < len(s) <= limit or (len(s) == limit + 1 and s[-1] in APOSTROPHES) for s in sentences)
    remaining = iter(chain.from_iterable(sentences))
    assert all(piece in remaining for piece in pieces)  # in order
    surplus = sum(map(len, sentences)) - len(pieces)
    assert 0 <= surplus <= sum(piece in APOSTROPHES for piece in pieces)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit 0"):
        split_sentences(["A"], 0)
