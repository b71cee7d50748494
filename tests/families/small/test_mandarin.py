"""Mandarin and mixed text through the frontend."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.contract.errors import InvalidInput
from deployments.families.small.frontend import SmallFrontend, phones_of, spoken
from deployments.text.phones import EXCLAMATION, PAUSE, PHONES, QUESTION
from deployments.text.segments import MAX_PHONES

FRONTEND = SmallFrontend()
DATA = Path(__file__).parents[2] / "data"
SENTENCES = DATA / "sentences_zh.txt", DATA / "sentences_zh_phones.txt"
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
        ("8-10点", "八到十点"),
        ("3.5-4.5米", "三点五到四点五米"),
        ("周1-5", "周一到五"),
        ("2024-2025年", "二零二四到二零二五年"),
        ("以3-1获胜", "以三比一获胜"),
        ("比分是10-8", "比分是十比八"),
        ("3-1等于2", "三减一等于二"),
        ("3+5等于8", "三加五等于八"),
        ("1,2,3名", "一二三名"),
        ("1,234元", "一千二百三十四元"),
        ("2/3/4人", "二三四人"),
        ("1.2.3版本", "一点二点三版本"),
        ("2024.3.5开会", "二零二四年三月五日开会"),
        ("二〇二〇年", "二零二零年"),
        ("我有 3 apples", "我有 three apples"),
        ("会议12：30开始", "会议十二点三十分开始"),
        ("GPT-4模型", "g p t 四模型"),
        ("得分 90 85 77", "得分九十八十五七十七"),
        ("大概3～5天", "大概三到五天"),
        ("详见 https://example.com/查看详情。", "详见 example dot com 查看详情"),
        ("见 https://example.com/the查", "见 example dot com slash the 查"),
        ("男/女", "男女"),
        ("请**不要**说话", "请不要说话"),
        ("重点==内容", "重点内容"),
        ("价格>=100元", "价格大于等于一百元"),
        ("语文+数学", "语文加数学"),
        ("3月2日", "三月二日"),
        ("2024年02月02日", "二零二四年二月二日"),
        ("第2天", "第二天"),
        ("第12号", "第十二号"),
        ("下午2点", "下午两点"),
        ("2倍", "两倍"),
        ("2种", "两种"),
        ("1-2次", "一到两次"),
        ("2年级有2年了", "二年级有两年了"),
        ("版本：1.2.3", "版本一点二点三"),
        ("50%-60%的人", "百分之五十到百分之六十的人"),
        ("增长5%-6%", "增长百分之五到百分之六"),
        ("2024/2025赛季", "二零二四到二零二五赛季"),
        ("7×24小时", "七乘二十四小时"),
        ("60公里/小时", "六十公里每小时"),
        ("100元/天", "一百元每天"),
        ("人口1,400,000,000", "人口十四亿"),
        ("PM2.5指数", "p m two dot five 指数"),
        ("Python3.11版本", "python three dot eleven 版本"),
        ("加50g糖", "加五十克糖"),
        ("网址https://example.com/a。", "网址 example dot com slash a"),
        ("今天很好.我们走吧", "今天很好我们走吧"),
    ],
)
def test_numbers_among_characters_are_read_in_chinese(text: str, words: str) -> None:
    assert spoken(text).replace(" ", "") == words.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("电话：13812345678", "电话幺三八幺二三四五六七八"),
        ("电话：010-12345678", "电话零一零一二三四五六七八"),
        ("QQ号：12345678", "q q 号幺二三四五六七八"),
        ("身份证110101199003071234", "身份证幺幺零幺零幺幺九九零零三零七幺二三四"),
        ("邮编是100084", "邮编是幺零零零八四"),
        ("第1、2、3章", "第一二三章"),
        ("答案是：42。", "答案是四十二"),
        ("日期：2026-03-02", "日期二零二六年三月二日"),
        ("比分：3-1。", "比分三比一"),
        ("价格：￥199", "价格一百九十九元"),
        ("| 小明 | 12 |", "小明十二"),
        ("5，4，3…开始", "五四三开始"),
        ("身高180cm。", "身高一百八十厘米"),
        ("气温 -5℃", "气温负五摄氏度"),
        ("我有 3 apples, 他有 4 个", "我有 three apples 他有四个"),
        ("The year 2026, 我们", "the year twenty twenty six 我们"),
    ],
)
def test_a_number_is_read_in_the_language_of_its_neighbours(text: str, words: str) -> None:
    assert spoken(text).replace(" ", "") == words.replace(" ", "")


def test_everyday_sentences_have_the_right_readings() -> None:
    """The phones were checked by hand; the judge of the voices uses them too."""
    for text, phones in zip(*(file.read_text("utf-8").splitlines() for file in SENTENCES), strict=True):
        assert [p for p in phones_of(text) if p not in (PAUSE, QUESTION)] == phones.split(), text


def test_sentences_become_segments_and_their_texts_cover_the_input() -> None:
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
def test_both_languages_can_be_requested(language: str | None) -> None:
    assert len(FRONTEND.segments("你好 hello。", language)) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("「你好」", "你好"),
        ("《红楼梦》很长……", "红楼梦很长"),
        ("（笑）好的——走吧", "笑好的走吧"),
        ("１２３块", "一百二十三块"),
        ("你好\u3000世界", "你好世界"),
        ("😀好", "好"),
        ("\uf900有", "岂有"),  # a compatibility character, traditional
        ("⽂字", "文字"),  # a radical, as some PDFs have it
        ("㊗你好", "祝你好"),
        ("〇度", "零度"),
        ("王𫖯来了", "王𫖯来了"),  # outside the basic multilingual plane
        ("會計還錢", "会计还钱"),
    ],
)
def test_signs_have_no_effect_and_look_alikes_are_read(text: str, words: str) -> None:
    assert spoken(text).replace(" ", "") == words


def test_traditional_characters_are_read_as_words() -> None:
    for traditional, simplified in (
        ("銀行", "银行"),
        ("睡覺", "睡觉"),
        ("音樂", "音乐"),
        ("看著我", "看着我"),
    ):
        assert phones_of(traditional) == phones_of(simplified)
    assert phones_of("他著有三本書")[3:5] == ["ZH", "U4"]


def test_a_question_in_brackets_is_a_question() -> None:
    assert phones_of("（你去吗？）")[-1] == QUESTION


def test_a_character_without_a_reading_is_reported() -> None:
    with pytest.raises(InvalidInput, match=r"U\+3402 at character 3") as caught:
        FRONTEND.segments("你好㐂")
    assert caught.value.param == "input"


@pytest.mark.parametrize("text", ["Call 〇", "豈有此理", "你好"])
def test_english_only_weights_refuse_chinese_characters(text: str) -> None:
    with pytest.raises(InvalidInput):
        SmallFrontend(languages=("en",)).check(text)
