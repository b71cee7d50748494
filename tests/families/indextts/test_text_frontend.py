"""The frontend as a whole: segments, their limits, languages, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from copy import copy
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deployments.contract.errors import ConfigError, InvalidInput
from deployments.families.indextts.config import read_config
from deployments.families.indextts.text.frontend import IndexFrontend
from tests.golden.indextts_set import FOLDER

HELD = read_config(FOLDER / "checkpoint").gpt.number_text_tokens


@pytest.fixture(scope="module")
def frontend(golden: Path) -> IndexFrontend:
    return IndexFrontend(golden / "checkpoint" / "bpe.model", HELD)


def test_golden_pieces(frontend: IndexFrontend, cases: dict[str, Any]) -> None:
    for case in cases["sentences"] + cases["normalizer_probes"]:
        assert frontend.pieces_of(case["text"]) == case["pieces"], case["text"]


def test_golden_segments(golden: Path, cases: dict[str, Any]) -> None:
    for limit in map(int, cases["sentences"][0]["split"]):
        frontend = IndexFrontend(golden / "checkpoint" / "bpe.model", HELD, limit)
        for case in cases["sentences"]:
            segments = frontend.segments(case["text"])
            assert [len(segment.token_ids) for segment in segments] == case["split"][str(limit)]
            assert all(s.token_ids.dtype == np.int64 and s.pause_after == 0 for s in segments)
            if len(segments) == 1:
                assert segments[0].token_ids.tolist() == case["ids"]


def test_segments_hold_their_text(frontend: IndexFrontend) -> None:
    texts = [segment.text for segment in frontend.segments("今天 是1月。" * 20 + "It's here!")]
    assert texts == ["今天是一月." * 10, "今天是一月." * 10 + "IT IS HERE!"]


def test_a_single_letter_or_digit_is_spoken(frontend: IndexFrontend) -> None:
    assert [frontend.segments(text)[0].text for text in ("a", "5", " 我\n")] == ["A", "五", "我"]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("zh", "五"),
        ("zh-CN", "五"),
        ("ZH_cn", "五"),
        ("en", "FIVE"),
        ("EN-US", "FIVE"),
        (None, "五"),
        ("", "五"),
    ],
)
def test_languages(frontend: IndexFrontend, language: str | None, text: str) -> None:
    assert frontend.segments("5", language)[0].text == text


@pytest.mark.parametrize("language", ["fr", "ja-JP", "chinese", "e", "-", "\x00", "x" * 10_000])
def test_other_languages_are_refused(frontend: IndexFrontend, language: str) -> None:
    with pytest.raises(InvalidInput, match="zh, en") as refused:
        frontend.segments("hello", language)
    assert refused.value.param == "language"
    assert len(refused.value.message) < 120


@pytest.mark.parametrize(
    "text", ["", " \n\t", "。", "?!", "…——“”", "😀👍🏽", "\x00\x07", "Привет", "\ud800", "ได้"]
)
def test_text_with_nothing_to_speak_is_refused(frontend: IndexFrontend, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        frontend.segments(text)
    assert refused.value.param == "input"


def test_unknown_pieces_are_kept_among_known_ones(frontend: IndexFrontend) -> None:
    (segment,) = frontend.segments("我 Ж 你")
    unknown = frontend.pieces.ids(["no such piece"])[0]
    assert unknown in segment.token_ids
    assert "Ж" in segment.text


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=200) | st.text("aB3我们，。.,!?'“”-—… \n\x00😀", max_size=200),
    st.sampled_from([None, "zh", "en"]),
    st.sampled_from([5, 20, 120]),
)
@example("我们他.'" * 30, None, 5)
@example("<s></s><unk>a", None, 5)
def test_any_text_gives_segments_within_the_limit_or_is_refused(
    frontend: IndexFrontend, text: str, language: Literal["zh", "en"] | None, limit: int
) -> None:
    frontend = copy(frontend)
    frontend.limit = limit
    if not any(map(frontend.pieces.speakable, frontend.pieces_of(text, language))):
        with pytest.raises(InvalidInput):
            frontend.segments(text, language)
        return
    segments = frontend.segments(text, language)
    assert segments
    for segment in segments:
        assert 0 < len(segment.token_ids) <= limit + 1
        assert segment.token_ids.min() >= 2
        assert segment.token_ids.max() < HELD


@pytest.mark.parametrize(
    "unit", ["价格是12.5元，2025年1月。我们去看书。", "He paid $5.20 for 3 books. ", "我"]
)
def test_long_text(frontend: IndexFrontend, unit: str) -> None:
    text = unit * (10_000 // len(unit))
    segments = frontend.segments(text)
    assert sum(segment.text.count("我") for segment in segments) == text.count("我")
    assert sum(segment.text.count("BOOKS") for segment in segments) == text.count("books")


def test_a_wrong_vocabulary_is_refused(golden: Path) -> None:
    with pytest.raises(ConfigError, match="says 12000"):
        IndexFrontend(golden / "checkpoint" / "bpe.model", 12000)


def test_it_needs_no_torch_and_no_network_and_loads_grammars_when_they_are_needed(golden: Path) -> None:
    program = f"""
import sys
def watch(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(event)
sys.addaudithook(watch)
from deployments.families.indextts.config import read_config
from deployments.families.indextts.text.frontend import IndexFrontend
from tests.golden.indextts_set import FOLDER
frontend = IndexFrontend({str(golden / "checkpoint" / "bpe.model")!r}, {HELD})
assert "wetext" not in sys.modules
assert [s.text for s in frontend.segments("5")] + [s.text for s in frontend.segments("5", "en")] == ["五", "FIVE"]
assert not {{"torch", "ray"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
