"""Normalised text equals the published code's, and is correct where that is known to misread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deployments.families.indextts.text.normalize import LONG_LINE, LONG_SENTENCE, Normalizer

NORMALIZER = Normalizer()


def test_every_golden_text_is_normalised_as_published(cases: dict[str, Any]) -> None:
    texts = cases["sentences"] + cases["normalizer_probes"]
    assert {case["text"]: NORMALIZER(case["text"]) for case in texts} == {
        case["text"]: case["normalized"] for case in texts
    }


def test_every_golden_text_takes_the_published_path(cases: dict[str, Any]) -> None:
    for case in cases["sentences"] + cases["normalizer_probes"]:
        assert (NORMALIZER.reading_of(case["text"]) == "zh") is case["uses_chinese"], case["text"]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("电话：0373-8850893", "电话,零三七三八八五零八九三"),
        ("打(0373)8850893或０３７３－８８５０８９３", "打零三七三八八五零八九三或零三七三八八五零八九三"),
        ("手机13812345678。", "手机幺三八幺二三四五六七八."),
        ("价格$1,234.56", "价格一千二百三十四点五六美元"),
        ("共1,234元", "共一千二百三十四元"),
        ("1,2,3都对", "一,二,三都对"),
        ("编号No. 12", "编号第十二"),
        ("GPT-4很强", "GPT 四很强"),
        ("y-4是负数，F-16不是", "y负四是负数,F 十六不是"),
        ("比分3-2", "比分三比二"),
        ("第1-3章", "第一到三章"),
        ("从0.5-0.8。", "从零点五到零点八."),
        ("3-5天", "三到五天"),
        ("5-3=2", "五减三等于二"),
        ("温度−5度", "温度负五度"),
        ("卡号6222021234567890123", "卡号六二二二零二一二三四五六七八九零一二三"),
        ("＄5和５％", "五美元和百分之五"),
        ('他说"5"', "他说'五'"),
        ("A380飞机", "A三百八十飞机"),
        ("第1\t行\r\n第2行\x00", "第一 行 第二行"),
    ],
)
def test_chinese_that_the_grammar_alone_would_misread(text: str, spoken: str) -> None:
    assert NORMALIZER(text) == spoken


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        (
            "It costs $1,234.56 now.",
            "It costs one thousand two hundred and thirty four point five six dollars now.",
        ),
        (
            "1,500 km and 11,234 km",
            "one thousand five hundred kilometers and eleven thousand two hundred and thirty four kilometers",
        ),
        ("one thousand and 1", "one thousand and one"),
        ("Room No. 5.", "Room number five."),
        ("No. I won't.", "No. I won't."),
        ("Call 555-1234.", "Call five five five, one two three four."),
        ("Call 0373-8850893.", "Call zero three seven three, eight eight five, zero eight nine three."),
        ("Call (555) 123-4567.", "Call five five five, one two three, four five six seven."),
        ("pages 500-1000", "pages five hundred to one thousand"),
        ("the 1990s", "the nineteen nineties"),
        ("Where’s #5?", "Where is number five?"),
        ('He said "5 miles".', "He said 'five miles'."),
        ("[3]  of\t4", "'three' of four"),
        ("😀 5 of 3ñ", "😀 five of three ñ"),
        ("Chapter 1\nIt's 2.", "Chapter one It is two."),
        ("Boeing A380", "Boeing A three hundred eighty"),
    ],
)
def test_english_that_the_grammar_alone_would_misread(text: str, spoken: str) -> None:
    assert " ".join(NORMALIZER(text).split()) == spoken


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("ju4ju4 lü4 JIA1", "JV4JV4 lü4 JIA1"),
        ("xuan4 " * 40 + "3", "XVAN4 " * 40 + "三"),  # more protected words than letters
        ("曼-彻·斯特和约翰——史密斯3", "曼-彻-斯特和约翰--史密斯三"),
        ("\ue000xuan4\ue000 3", "XVAN4 三"),  # the placeholder itself in the text
    ],
)
def test_protected_words_are_restored_in_place(text: str, spoken: str) -> None:
    assert NORMALIZER(text) == spoken


def test_a_language_overrides_detection() -> None:
    assert NORMALIZER("5") == "五"
    assert NORMALIZER("5", "en") == "five"
    assert NORMALIZER("item 5", "zh") == "item 五"


@pytest.mark.parametrize(
    "sentences",
    [
        [
            "今天是2025年1月11日，价格是12.5元。",
            "我们去图书馆！",
            "“有3本书？”他问；",
            "约翰·史密斯会xuan4。 ",
        ],
        [
            "It is 3 miles from here. ",
            "Dr. Smith paid $5.20! ",
            "Was it in 1998? ",
            "See Prof. Jones, No. 5. ",
        ],
    ],
)
def test_a_long_line_is_normalised_like_its_sentences(sentences: list[str]) -> None:
    sentences = sentences * 10
    whole = NORMALIZER("".join(sentences))
    assert len("".join(sentences)) > LONG_LINE
    reading = NORMALIZER.reading_of(sentences[0])
    alone = [NORMALIZER(sentence, reading) for sentence in sentences]
    assert whole.replace(" ", "") == "".join(alone).replace(" ", "")


@pytest.mark.parametrize("text", ["他有3本书，" * 300, "they have 3 books, " * 100, "a" * 3000, "书3" * 1000])
def test_a_long_line_without_sentence_ends_is_split(text: str) -> None:
    assert len(text) > 4 * LONG_SENTENCE
    spoken = NORMALIZER(text)
    assert spoken.count("书") == text.count("书")
    assert spoken.count("books") == text.count("books")
    assert not any(map(str.isdigit, spoken))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | st.text("aA书xuan4·-—13.,$%#\"'\\[]{}\n\x00😀№", max_size=60))
@example("")
@example("\x00")
@example("\ud800")
@example("0٣٣-٣٣٣٣٣٣٣٣, 1٣٣٣٣٣٣٣٣٣٣٣٣٣")
@example('}\\" : { 3')
@example("e\u0301\u20e3" * 9)
def test_any_text_comes_back_as_one_line_without_invisible_characters(text: str) -> None:
    for reading in (None, "zh", "en"):
        spoken = NORMALIZER(text, reading)
        assert spoken.isprintable()


def test_threads_can_share_the_grammars() -> None:
    texts = [f"{n}个人花了{n}.5元" if n % 2 else f"{n} people paid ${n}.5" for n in range(40)]
    alone = [NORMALIZER(text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(NORMALIZER, texts)) == alone
