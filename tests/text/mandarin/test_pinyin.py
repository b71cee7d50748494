"""Chinese characters to syllables, and tone sandhi."""

from __future__ import annotations

import pytest

from deployments.text.mandarin.pinyin import syllable, syllables
from deployments.text.mandarin.readings import readable
from deployments.text.phones import PHONE_TO_ID


def said(hanzi: str) -> str:
    return " ".join("".join(one.phones).lower() for one in syllables(hanzi))


@pytest.mark.parametrize(
    ("hanzi", "expected"),
    [
        ("你好", "ni2 hao3"),
        ("展览馆", "zhan2 lan2 guan3"),
        ("我很好", "uo2 hen2 hao3"),
        ("老李买水果", "lao2 li2 mai2 shuei2 guo3"),
        ("中国", "zhong1 guo2"),
    ],
)
def test_a_third_tone_before_another_is_a_second(hanzi: str, expected: str) -> None:
    assert said(hanzi) == expected


@pytest.mark.parametrize(
    ("hanzi", "expected"),
    [
        ("不去", "bu2 qv4"),
        ("不好", "bu4 hao3"),
        ("不", "bu4"),
        ("一个", "i2 ge4"),
        ("一天", "i4 tian1"),
        ("一本", "i4 ben3"),
        ("第一", "di4 i1"),
        ("第一天", "di4 i1 tian1"),
        ("一九八一", "i1 jiou3 ba1 i1"),
        ("十一点", "shiw2 i1 dian3"),
        ("二十一个", "er4 shiw2 i1 ge4"),
        ("一月一号", "i1 ve4 i1 hao4"),
        ("一两天", "i4 liang3 tian1"),
        ("三点一四", "san1 dian3 i1 sih4"),
        ("点一杯茶", "dian3 i4 bei1 cha2"),
        ("三点一刻", "san1 dian3 i2 ke4"),
        ("一点五倍", "i1 dian3 u3 bei4"),
        ("一点一点", "i4 dian3 i4 dian3"),
        ("十月一日", "shiw2 ve4 i1 riw4"),
        ("一楼", "i1 lou2"),
        ("三年一班", "san1 nian2 i1 ban1"),
        ("一等奖", "i1 deng2 jiang3"),
        ("一比零", "i1 bi3 ling2"),
        ("二比一获胜", "er4 bi3 i1 huo4 sheng4"),
        ("他比一般人", "ta1 bi3 i4 ban1 ren2"),
    ],
)
def test_bu_and_yi_follow_what_comes_next(hanzi: str, expected: str) -> None:
    assert said(hanzi) == expected


@pytest.mark.parametrize(
    ("hanzi", "expected"),
    [
        ("银行行长", "in2 hang2 hang2 zhang3"),
        ("长大", "zhang3 da4"),
        ("长高了", "zhang3 gao1 le5"),
        ("头发很长", "tou2 fa5 hen3 chang2"),
        ("这只猫", "zhe4 zhiw1 mao1"),
        ("两只手", "liang3 zhiw1 shou3"),
        ("只有你", "zhiw2 iou2 ni3"),
        ("你得小心", "ni2 dei2 xiao3 xin1"),
        ("他得了第一名", "ta1 de2 le5 di4 i1 ming2"),
        ("他唱歌得很好", "ta1 chang4 ge1 de5 hen2 hao3"),
        ("他教英语", "ta1 jiao1 ing1 v3"),
        ("睡不着", "shuei4 bu4 zhao2"),
        ("睡了一觉", "shuei4 le5 i2 jiao4"),
        ("把书还了", "ba3 shu1 huan2 le5"),
        ("数到十", "shu3 dao4 shiw2"),
        ("切菜", "qie1 cai4"),
        ("这儿", "zhe4 er5"),
        ("女儿", "nv3 er2"),
        ("音乐", "in1 ve4"),
        ("快乐", "kuai4 le4"),
        ("很长的故事", "hen3 chang2 de5 gu4 shiw5"),
        ("一切都会好", "i2 qie4 dou1 huei4 hao3"),
        ("首都的都市", "shou3 du1 de5 du1 shiw4"),
        ("他还没还钱", "ta1 hai2 mei2 huan2 qian2"),
        ("三只猫", "san1 zhiw1 mao1"),
    ],
)
def test_polyphones_are_resolved_by_their_phrase(hanzi: str, expected: str) -> None:
    assert said(hanzi) == expected


@pytest.mark.parametrize(
    ("hanzi", "expected"),
    [
        ("高兴地跑", "gao1 xing4 de5 pao3"),
        ("土地和地上", "tu3 di4 he2 di4 shang4"),
        ("雪下得很大", "xve3 xia4 de5 hen3 da4"),
        ("跑得快", "pao3 de5 kuai4"),
        ("我得走了", "uo2 dei2 zou3 le5"),
        ("他得到了", "ta1 de2 dao4 le5"),
    ],
)
def test_particles_are_distinguished_from_words(hanzi: str, expected: str) -> None:
    assert said(hanzi) == expected


@pytest.mark.parametrize(
    ("hanzi", "expected"),
    [
        ("爸爸", "ba4 ba5"),
        ("奶奶", "nai3 nai5"),
        ("衣服", "i1 fu5"),
        ("月亮", "ve4 liang5"),
        ("哪里", "na2 li3"),
    ],
)
def test_some_words_end_in_a_neutral_tone(hanzi: str, expected: str) -> None:
    assert said(hanzi) == expected


@pytest.mark.parametrize(
    ("pinyin", "phones"),
    [
        ("zhi1", ["ZH", "IW1"]),
        ("si4", ["S", "IH4"]), ("ji1", ["J", "I1"]), ("ju2", ["J", "V2"]), ("lu2", ["L", "U2"]),
        ("lv4", ["L", "V4"]), ("lü4", ["L", "V4"]), ("yuan2", ["VAN2"]), ("wu3", ["U3"]), ("xue2", ["X", "VE2"]),
        ("liu4", ["L", "IOU4"]), ("gui1", ["G", "UEI1"]), ("lun2", ["L", "UEN2"]), ("er2", ["ER2"]), ("ng4", ["EN4"]),
        ("de5", ["D", "E5"]), ("weng1", ["UENG1"]), ("yong3", ["IONG3"]),
    ],
)  # fmt: skip
def test_syllables_have_an_initial_and_a_toned_final(pinyin: str, phones: list[str]) -> None:
    one = syllable(pinyin)
    assert one is not None and one.phones == tuple(phones)


@pytest.mark.parametrize("pinyin", ["", "a", "b1", "qq2", "zhang6", "hello1", "x1"])
def test_invalid_syllables_are_none(pinyin: str) -> None:
    assert syllable(pinyin) is None


def test_every_common_character_has_phones() -> None:
    from pypinyin.pinyin_dict import pinyin_dict

    common = [chr(code) for code in pinyin_dict if 0x4E00 <= code <= 0x9FA5]
    unread = [character for character in common if not syllables(character)]
    assert len(unread) / len(common) < 0.001
    assert all(readable(character) for character in common)
    assert all(
        phone in PHONE_TO_ID for character in common for one in syllables(character) for phone in one.phones
    )
