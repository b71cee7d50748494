"""Phones: the golden sentences by the published rules, and what must hold for any text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deployments.contract.errors import InvalidInput
from deployments.families.gpt_sovits.text import chinese_phones, chinese_published, english_published
from deployments.families.gpt_sovits.text.english_phones import arpabet, dictionary, word_phones
from deployments.families.gpt_sovits.text.frontend import GptSovitsFrontend
from deployments.families.gpt_sovits.text.symbols import symbols, to_ids
from deployments.text.english.lexicon import load_lexicon
from tests.families.gpt_sovits.text.conftest import MakeFrontend

UNREAD = ("all_ja", "all_ko", "all_yue")


@pytest.fixture(scope="module")
def frontends(make: MakeFrontend) -> dict[str, GptSovitsFrontend]:
    return {version: make(version) for version in ("v1", "v2")}


def test_the_symbol_tables_are_the_published_ones(gpt_sovits: Path) -> None:
    tables = json.loads((gpt_sovits / "symbol_tables.json").read_text("utf-8"))
    for version, expected in tables.items():
        assert list(symbols(version)) == expected
    assert symbols("v2Pro") == symbols("v2")


def test_golden_sentences(texts: dict[str, Any], frontends: dict[str, GptSovitsFrontend]) -> None:
    """Text as it is read, phones, ids and phones per character, of both symbol tables and both published paths."""
    read = 0
    for case in texts["sentences"]:
        if case["language"] in UNREAD:
            continue
        frontend = frontends[case["version"]]
        spoken = frontend.read(case["text"], case["language"])
        for run, expected in zip(spoken, case["segments"], strict=True):
            assert (run.language, run.text) == (expected["lang"], expected["norm_text"]), case["key"]
            assert list(run.phones) == expected["phones"], case["key"]
            assert list(run.sizes or ()) == (expected["word2ph"] or []), case["key"]
        ids = to_ids((phone for run in spoken for phone in run.phones), case["version"])
        assert ids.tolist() == case["ids"] and "".join(run.text for run in spoken) == case["norm_text"]
        read += 1
    assert read > 30


@pytest.mark.xfail(reason="no library in the lock reads these languages", raises=InvalidInput, strict=True)
@pytest.mark.parametrize("language", UNREAD)
def test_golden_sentences_in_other_languages(
    texts: dict[str, Any], frontends: dict[str, GptSovitsFrontend], language: str
) -> None:
    case = next(case for case in texts["sentences"] if case["language"] == language)
    assert frontends["v2"].segments(case["text"], language)[0].token_ids.tolist() == case["ids"]


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("不对,不行,对不对.", "b u2 d ui4 , b u4 x ing2 , d ui4 b u2 d ui4 ."),
        ("一天,一样,第一,看一看.", "y i4 t ian1 , y i2 y ang4 , d i4 y i1 , k an4 y i5 k an4 ."),
        ("你好,展览馆,很好.", "n i2 h ao3 , zh an2 l an2 g uan3 , h en2 h ao3 ."),
        ("我们的孩子,看看,上来.", "w o3 m en5 d e5 h ai2 z i05 , k an4 k an5 , sh ang4 l ai5 ."),
        ("女儿,玩儿.", "n v3 EE er2 , w an2 EE er2 ."),
        ("绿学院云岩银鱼.", "l v4 x ve2 y van4 y vn2 y En2 y in2 y v2 ."),
        ("翁爱鹅欧.", "w eng1 AA ai4 EE e2 OO ou1 ."),
    ],
)
def test_tones_change_as_the_weights_learnt_them(text: str, phones: str) -> None:
    assert " ".join(chinese_phones.phones(text)[0]) == phones


@given(text=st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=1, max_size=30))
@example(text="不").via("a mark is no word that it could be joined to")
@example(text="一").via("as before")
@settings(max_examples=100, deadline=None)
def test_every_chinese_character_has_two_symbols(text: str) -> None:
    phones, sizes = chinese_phones.phones(text + ",")
    assert set(phones) <= set(symbols()) and sizes == [2] * len(text) + [1] and len(phones) == sum(sizes)


@given(text=st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_published_normalisers_leave_only_what_has_symbols(text: str) -> None:
    assert all("\u4e00" <= c <= "\u9fa5" or c in "!?…,.-" for c in chinese_published.normalise(text))
    assert all(c.isascii() and (c.isalpha() or c in " '.,?!-") for c in english_published.normalise(text))


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("A", "EY1"), ("a", "AH0"), ("w", "D AH1 B AH0 L Y UW0"), ("W", "D AH1 B AH0 L Y UW0"),
        ("isn't", "IH1 Z AH0 N T"), ("llama's", "L AA1 M AH0 Z"), ("gpu", "JH IY1 P IY1 Y UW1"),
        ("twenty-three", "T W EH1 N T IY0 TH R IY2"), ("machinelearning", "M AH0 SH IY1 N L IH1 R N IH1 NG"),
    ],
)  # fmt: skip
def test_english_words(word: str, phones: str) -> None:
    assert " ".join(word_phones(word)) == phones


def test_every_english_sound_has_a_symbol() -> None:
    sounds = {sound for entry in dictionary().values() for sound in entry}
    assert sounds <= set(symbols("v1"))
    assert {sound for phones in set(load_lexicon().values()) for sound in arpabet(phones)} <= set(
        symbols("v1")
    )
