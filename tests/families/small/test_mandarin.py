"""Mandarin and mixed text through the frontend."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.contract.errors import InvalidInput
from deployments.families.small.frontend import SmallFrontend
from deployments.text.phones import EXCLAMATION, PAUSE, PHONES, QUESTION
from deployments.text.segments import MAX_PHONES

FRONTEND = SmallFrontend()
phones_of, spoken = FRONTEND.phones_of, FRONTEND.spoken
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
        ("PM2.5指数", "p m 二点五指数"),
        ("Python3.11版本", "python 三点一一版本"),
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("票价分为80、120、360三档。", "票价分为八十一百二十三百六十三档"),
        ("价格是110、120、130元", "价格是一百一十一百二十一百三十元"),
        ("得了119、122、125分", "得了一百一十九一百二十二一百二十五分"),
        ("宽90、110、120厘米", "宽九十一百一十一百二十厘米"),
        ("速度有100、110、119三种", "速度有一百一百一十一百一十九三种"),
        ("人数是110，119，120", "人数是一百一十一百一十九一百二十"),
        ("每次110或120", "每次一百一十或一百二十"),
        ("第110、120页", "第一百一十一百二十页"),
        ("打了120个电话", "打了一百二十个电话"),
        ("拨打110、120或119", "拨打幺幺零幺二零或幺幺九"),
        ("快打119！", "快打幺幺九"),
        ("火警电话119，急救电话120", "火警电话幺幺九急救电话幺二零"),
    ],
)
def test_a_number_that_helps_is_read_by_digits_only_where_it_is_one(text: str, words: str) -> None:
    assert spoken(text).replace(" ", "") == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("电话0535-7166813。", "电话零五三五七一六六八一三"),
        ("打021-5566778", "打零二一五五六六七七八"),
        ("电话(0571)8765432", "电话零五七一八七六五四三二"),
        ("热线：0311 8605 1234", "热线零三一一八六零五一二三四"),
        ("请拨4008-823-823", "请拨四零零八八二三八二三"),
        ("找我：+86 138 0013 8000", "找我加八六幺三八零零幺三八零零零"),
        ("总机010-62345678转801", "总机零一零六二三四五六七八转八零幺"),
        ("密码是0731", "密码是零七三幺"),
        ("区号0371", "区号零三七幺"),
        ("房间号0203", "房间号零二零三"),
        ("会议号是856 1234 5678", "会议号是八五六幺二三四五六七八"),
        ("1502室", "幺五零二室"),
        ("在3-502室", "在三杠五零二室"),
        ("验证码是048213，取票码93342253", "验证码是零四八二幺三取票码九三三四二二五三"),
    ],
)
def test_telephones_and_codes_are_read_by_digits(text: str, words: str) -> None:
    assert spoken(text).replace(" ", "") == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("血压120/80。", "血压一百二十比八十"),
        ("今早血压是145/95 mmHg", "今早血压是一百四十五比九十五毫米汞柱"),
        ("视力5.0/4.8", "视力五点零四点八"),
        ("裸眼视力0.8/1.0", "裸眼视力零点八一点零"),
        ("10-4等于6", "十减四等于六"),
        ("12-5=7，对", "十二减五等于七对"),
        ("10 - 4 = 6，没错", "十减四等于六没错"),
        ("5+3-2等于几", "五加三减二等于几"),
        ("比赛3-1结束", "比赛三比一结束"),
        ("中国队以21-19取胜", "中国队以二十一比十九取胜"),
        ("2/3的人", "三分之二的人"),
        ("公元前221年到公元前121年", "公元前两百二十一年到公元前一百二十一年"),
    ],
)
def test_slashes_and_dashes_are_read_by_what_they_stand_between(text: str, words: str) -> None:
    assert spoken(text).replace(" ", "") == words


def test_a_text_without_words_is_read_in_the_language_asked_for_or_of_the_sentence_before() -> None:
    assert FRONTEND.spoken("3-1=2", "zh").replace(" ", "") == "三减一等于二"
    assert FRONTEND.spoken("60km/h", "zh-CN").replace(" ", "") == "六十公里每小时"
    assert FRONTEND.spoken("You owe me. 120.", "zh").endswith("one hundred twenty")
    assert spoken("密码是多少？42。").replace(" ", "") == "密码是多少四十二"


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
