"""The readings of a Mandarin text: its words, and the pinyin of each character before tone sandhi.

jieba splits the text into words and tags their parts of speech; pypinyin's phrases resolve polyphones. This module
adds what neither has: characters whose reading depends on the part of speech, and words that end in a neutral tone.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from deployments.text.mandarin.surnames import surname

if TYPE_CHECKING:
    from rjieba import Jieba

_KIN = "爸妈爷奶哥姐弟妹叔伯姑舅婶姨公婆嫂宝星娃猩蛐"  # when doubled, the second one has a neutral tone
NEUTRAL = frozenset(  # words that end in a neutral tone
    """
    衣服 时候 学生 先生 告诉 早上 晚上 月亮 休息 朋友 喜欢 知道 认识 东西 意思 明白
    客气 便宜 漂亮 舒服 麻烦 事情 关系 消息 商量 打听 打算 窗户 钥匙 头发 眼睛 耳朵 鼻涕
    嘴巴 脑袋 胳膊 指甲 下巴 大夫 丈夫 媳妇 亲戚 姑娘 闺女 丫头 老婆 师傅 徒弟 和尚
    大爷 大娘 太太 伙计 队伍 名字 故事 笑话 动静 行李 包袱 衣裳 扫帚 苍蝇 骆驼 狐狸 蘑菇
    萝卜 葡萄 玻璃 石榴 核桃 豆腐 烧饼 点心 馄饨 粮食 庄稼 棉花 牲口 石头 木头 骨头 舌头
    枕头 馒头 拳头 念头 码头 罐头 街坊 地方 晌午 夜里 云彩 力气 脾气 福气 运气 本事
    疙瘩 干净 清楚 凉快 暖和 热闹 结实 老实 聪明 糊涂 大方 厉害 勤快 利索 痛快 快活 高粱
    新娘 规矩 主意 功夫 工夫 买卖 生意 部分 记得 觉得 晓得 懂得 值得 显得 使得 舍得
    打扮 打发 打量 收拾 招呼 照应 伺候 应付 答应 吩咐 嘱咐 琢磨 咳嗽 哆嗦 告示 折腾 耽误
    耽搁 唠叨 嘟囔 欺负 得罪 委屈 埋怨 佩服 称呼 稀罕 护士 棺材 畜生 状元 秀才
    祖宗 丈人 女婿 外甥 老爷 少爷 上头 下头 里头 外头 前头 后头 上边 下边 里边 外边 前边
    后边 左边 右边 这边 那边 这么 那么 怎么 什么 多么 我们 你们 他们 她们 它们 咱们 人们
    这里 那里 抽屉 帐篷 篱笆 灯笼 首饰 胭脂 钱粮 算盘 算计 比方 月饼 柴火 炮仗
    风筝 喇叭 琵琶 口袋 尾巴 爪子 蚂蚱 蛤蟆 刺猬 柿子 橘子 苤蓝 芝麻 牡丹
    """.split()
)
_PHRASES = {  # unknown to pypinyin, or read in the rarer way
    "落下": "luo4 xia4", "时差": "shi2 cha1", "流血": "liu2 xue4", "转动": "zhuan4 dong4", "朝鲜": "chao2 "
    "xian3",
    "壳牌": "qiao4 pai2", "圈养": "juan4 yang3", "旋风": "xuan4 feng1", "炸鸡": "zha2 ji1", "吓唬": "xia4 "
    "hu5",
    "卷子": "juan4 zi5", "大夫": "dai4 fu5", "相片": "xiang4 pian4", "处女座": "chu3 nv3 zuo4",
    "单县": "shan4 xian4",
    "舍不得": "she3 bu5 de5", "薄荷": "bo4 he5", "扎实": "zha1 shi5", "一打": "yi1 da2", "长长": "zhang3 "
    "chang2",
    "重写": "chong2 xie3", "应声": "ying4 sheng1", "系好": "ji4 hao3",
}  # fmt: skip

_COUNTING = frozenset("零一二两三四五六七八九十百千万亿几这那哪每半")
_SPINNING = frozenset("轮子 车轮 齿轮 轮胎 陀螺 风车 风扇 地球 月球 马达 电机 转盘 木马".split())
_GROWN = frozenset("得高大胖出满成")
_VERY = frozenset("很太更最真多不越好挺这那么")
_ACTS = {
    "种": "zhong4",
    "中": "zhong4",
    "盛": "cheng2",
    "量": "liang2",
    "系": "ji4",
    "空": "kong4",
    "间": "jian4",
}
# Inside a word: the index of a character, a pattern of the word, and the reading of the character there
_INSIDE = tuple(
    (place, re.compile(pattern), syllable)
    for place, pattern, syllable in (
        (1, f"^[{''.join(sorted(_COUNTING))}]只", "zhi1"),
        (-1, f"[{''.join(sorted(_COUNTING))}]只$", "zhi1"),
        (1, "^.得.$", "de5"),
        (-1, "^.+[不得]着$", "zhao2"),
        (-1, "^.*(?<![女婴幼孤男少胎健血宠生患小孩弃育])(?<=.)儿$", "er5"),
        (0, "^切[菜开片成断割肉碎下出掉丁块丝]", "qie1"),
        (-1, f"^第?[{''.join(sorted(_COUNTING - {'一'}))}]+行$", "hang2"),
        (0, "^背着$", "bei1"),
        (0, "^划[得着不]", "hua2"),
        (-1, "^..?头发$", "fa5"),
        (-1, r"^(.)\1地$", "de5"),
        (-1, "孩儿$", "er5"),
        (0, "^数一数$", "shu3"),
        (-1, "^数一数$", "shu3"),
    )
)


@cache
def jieba() -> Jieba:
    """jieba's dictionary, loaded for the first characters: a third of a second and about 60 MB."""
    from rjieba import Jieba

    return Jieba()


def readable(character: str) -> bool:
    """True if a Chinese character has a known reading."""
    from pypinyin.pinyin_dict import pinyin_dict

    return ord(character) in pinyin_dict


def readings(hanzi: str) -> list[tuple[str, tuple[str, ...]]]:
    """The words of a run of Chinese characters, with one syllable per character: ("长", ("chang2",))."""
    tagged = [("", ""), *jieba().tag(hanzi, False), ("", "")]
    made = []
    for at, (word, kind) in enumerate(tagged[1:-1], 1):
        alone = _alone(word, kind, tagged[at - 1], tagged[at + 1]) if len(word) == 1 else ""
        made.append((word, _read(word, alone, tuple(surname(tagged, at)))))
    return made


@lru_cache(maxsize=32768)
def _read(word: str, alone: str, family: tuple[str, ...]) -> tuple[str, ...]:
    """The syllables of a word. alone: of a single character; family: of the surname at its start; empty if none."""
    read = [alone] if alone else list(_listed(word))
    read[: len(family)] = family
    for place, pattern, syllable in _INSIDE:
        if pattern.search(word):
            read[place] = syllable
    if _ends_neutral(word):
        read[-1] = read[-1][:-1] + "5"
    return tuple(read)


def _ends_neutral(word: str) -> bool:
    return word in NEUTRAL or (len(word) == 2 and word[0] == word[1] and word[0] in _KIN)


def _listed(word: str) -> tuple[str, ...]:
    """The syllables of a word without its context."""
    from pypinyin import Style, lazy_pinyin

    if word in _PHRASES:
        return tuple(_PHRASES[word].split())
    return tuple(lazy_pinyin(word, Style.TONE3, neutral_tone_with_five=True))


def _alone(word: str, kind: str, before: tuple[str, str], behind: tuple[str, str]) -> str:
    """The reading of a one-character word, from its tag and its neighbours (words with tags); "" for the usual one.

    jieba's tags: r pronoun, n noun, v verb, m number, d adverb, a adjective, u particle.
    """
    (last, was), (following, comes) = before, behind
    if word == "地":
        return "de5" if kind == "uv" and comes[:1] not in ("", "u", "f") and was else ""
    if word == "得":
        return _de(last, was, following, comes)
    if word == "长":
        grows = following[:1] in _GROWN and last[-1:] not in _VERY or (comes[:1] == "u" and was[:1] == "n")
        return "zhang3" if grows else "chang2"
    if word == "著":  # in traditional texts it is also used for 着
        return "zhe5" if was[:1] == "v" else "zhu4"
    if word == "着":
        return "zhao2" if last[-1:] in ("不", "得") else "zhe5"
    if word == "转":
        return "zhuan4" if last in _SPINNING else ""
    if word == "还":
        return "huan2" if comes == "n" or following in ("了", "") else ""
    if word == "只":
        return "zhi1" if was == "m" or last[-1:] in _COUNTING else "zhi3"
    if word == "数":
        return "shu3" if comes == "n" or following in ("到", "着", "了", "清") or last == "了" else ""
    if word == "觉":
        return "jiao4" if was[:1] in ("m", "q") or last[:1] == "睡" else ""
    if word in _ACTS and was[:1] != "m" and last[-1:] not in _COUNTING and last not in ("各", "某", "何"):
        if following[:1] in ("了", "着", "过", "好", "满", "出", "上", "下", "一", "完"):
            return _ACTS[word]
        if word == "种" and comes == "n" and was[:1] in ("", "r", "n", "v", "d"):
            return "zhong4"
    if word == "弹":
        return "dan4" if was[:1] == "m" or last in ("子", "炮", "导") else "tan2"
    if word == "重":
        return "chong2" if comes[:1] == "v" and last[-1:] not in _VERY else "zhong4"
    if word == "调":
        return (
            "tiao2"
            if comes[:1] in ("m", "u", "v", "a", "n") and last not in ("被", "曲", "声", "腔")
            else "diao4"
        )
    if word == "干":
        return "gan1" if following[:1] in "了透" and was == "n" and last[-1:] not in "人员们师" else "gan4"
    if word == "行":
        return "hang2" if was[:1] == "m" or last[-1:] in _COUNTING else "xing2"
    return {"都": "dou1", "教": "jiao1", "切": "qie1", "划": "hua2"}.get(word, "")


def _de(last: str, was: str, following: str, comes: str) -> str:
    """得: "have to", "get", or the particle after a verb."""
    if following == "了" and was[:1] in ("", "r", "n", "d"):
        return "de2"
    if was[:1] == "r" and comes[:1] in ("d", "i", "l") or following in ("快点", "赶紧", "马上", "好好"):
        return "dei3"
    has_to = was[:1] == "r" or last in ("必须", "还", "就", "总", "都", "也", "可", "又", "只")
    if has_to and comes[:1] in ("v", "a", "n", "p") or (was[:1] == "n" and comes[:1] == "v"):
        return "dei3"
    return "de5" if was else ""
