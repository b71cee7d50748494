"""Mandarin and mixed text through the frontend."""

from __future__ import annotations

import pytest

from deployments.families.small.phones import EXCLAMATION, PAUSE, PHONES, QUESTION
from deployments.families.small.text import SmallFrontend, phones_of, spoken
from deployments.families.small.text.segments import MAX_PHONES

FRONTEND = SmallFrontend()
LONG = "春天来了，公园里的花都开了，孩子们在草地上跑来跑去，老人们坐在长椅上晒太阳，年轻人在湖边拍照，"


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("你好。", [PAUSE, "N", "I2", "H", "AO3", PAUSE]),
        ("好吗？", [PAUSE, "H", "AO3", "M", "A5", QUESTION]),
        ("快跑！", [PAUSE, "K", "UAI4", "P", "AO3", EXCLAMATION]),
        ("是，我去。", [PAUSE, "SH", "IW4", PAUSE, "UO3", "Q", "V4", PAUSE]),
        ("他说OK。", [PAUSE, "T", "A1", "SH", "UO1", "ow", "k", "ey", PAUSE]),
    ],
)
def test_phones(text: str, phones: list[str]) -> None:
    assert phones_of(text) == phones


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3月5号", "三月五号"),
        ("一共128块钱", "一共一百二十八块钱"),
        ("50%的人", "百分之五十的人"),
        ("下午3:30开会", "下午三点三十分开会"),
        ("2024年", "二零二四年"),
        ("我有3.5公斤", "我有三点五公斤"),
        ("买了iPhone 15手机", "买了 i phone 十五 手机"),
        ("2020 年 3 月 5 日", "二零二零年三月五日"),
        ("他今年 35 岁。", "他今年三十五岁"),
        ("花了￥35.5元", "花了三十五点五元"),
        ("他有¥35", "他有三十五元"),
        ("$5的书", "五美元的书"),
        ("温度是-5℃", "温度是负五摄氏度"),
        ("5kg苹果", "五千克苹果"),
        ("第3-5章", "第三到五章"),
        ("2-3天", "两到三天"),
        ("二〇二〇年", "二零二零年"),
        ("我有 3 apples", "我有 three apples"),
    ],
)
def test_numbers_among_characters_are_read_in_chinese(text: str, words: str) -> None:
    assert spoken(text).replace(" ", "") == words.replace(" ", "")


def test_sentences_are_segments_and_their_texts_the_text() -> None:
    text = "今天下雨。我们不去了！你呢？I like it. 他用 Python 写了三千行代码，很快。"
    segments = FRONTEND.segments(text)
    assert [s.text for s in segments] == [
        "今天下雨。", "我们不去了！", "你呢？", "I like it.", "他用 Python 写了三千行代码，很快。",
    ]  # fmt: skip
    assert all(segment.token_ids.max() < len(PHONES) for segment in segments)


def test_a_long_sentence_is_cut_between_words() -> None:
    text = LONG * 4 + "对。"
    segments = FRONTEND.segments(text)
    assert len(segments) > 3 and max(len(s.token_ids) for s in segments) <= MAX_PHONES
    assert "".join(s.text for s in segments) == text


@pytest.mark.parametrize("language", ["zh", "zh-CN", "ZH_tw", "en", None])
def test_both_languages_may_be_asked_for(language: str | None) -> None:
    assert len(FRONTEND.segments("你好 hello。", language)) == 1


@pytest.mark.parametrize(
    "text", ["「你好」", "《红楼梦》很长……", "（笑）好的——走吧", "１２３块", "你好\u3000世界", "😀好"]
)
def test_punctuation_does_no_harm(text: str) -> None:
    assert all(len(segment.token_ids) >= 3 for segment in FRONTEND.segments(text))
