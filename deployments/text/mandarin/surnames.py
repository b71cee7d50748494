"""Characters that have another reading as a surname: 单 is shan4 in 单经理."""

from __future__ import annotations

import re

_Token = tuple[
    str, str
]  # a word and its kind, as jieba names it: r pronoun, n noun, nr name, v verb, d adverb

_SURNAMES: dict[str, str] = {
    row[0]: row[2:]
    for row in """
    单:shan4 曾:zeng1 仇:qiu2 任:ren2 朴:piao2 查:zha1 翟:zhai2 解:xie4 区:ou1 华:hua4 盖:ge3 乐:yue4 纪:ji3 燕:yan1
    缪:miao4 覃:qin2 黑:he4 洗:xian3 员:yun4 折:she2 种:chong2 召:shao4 郇:xun2 哈:ha3 过:guo1 葛:ge3 阚:kan4 薄:bo2
    秘:bi4 卜:bu3 句:gou1 隗:wei3 宿:su4 能:nai4 撒:sa4 藏:zang1 繁:po2 都:du1 给:ji3 晟:cheng2
    """.split()
}
_COMPOUND = {
    "尉迟": ["yu4", "chi2"], "万俟": ["mo4", "qi2"], "长孙": ["zhang3", "sun1"], "澹台": ["tan2", "tai2"],
    "令狐": ["ling2", "hu2"], "单于": ["chan2", "yu2"], "乐正": ["yue4", "zheng4"],
}  # fmt: skip
_ALWAYS = frozenset("朴翟覃缪郇阚卜葛隗")  # rarely words on their own
_FAMILIAR = frozenset("曾仇任朴翟查单解葛缪覃华燕盖纪")  # after 小 and 老
_VERBS = frozenset("任查解盖曾过种折洗召给藏撒能")  # verbs after a pronoun, a noun or an adverb
_COMMON = frozenset("都黑种过给能")  # too common as words to trust a title or a given name after them
_TITLES = (
    "先生 女士 小姐 太太 夫人 姑娘 阿姨 叔 伯 大爷 大妈 大姐 大哥 奶奶 爷爷 老师 师傅 同学 医生 大夫 医师 "
    "护士 教授 博士 院士 律师 警官 "
    "法官 检察官 导演 编辑 记者 主播 教练 工程师 设计师 研究员 秘书 会计 顾问 助理 专家 经理 总经理 总监 "
    "总裁 老板 董事 掌柜 主任 主席 书记 "
    "处长 科长 局长 厅长 院长 校长 社长 店长 部长 省长 市长 县长 镇长 乡长 村长 队长 班长 组长 团长 船长 "
    "将军 司令 参谋 公子 大侠 员外 某 氏 "
    "总$ 工$ 公$ 母$ 父$ 哥$ 姐$ 老$ 厨$ 导$ 县$ 家人$"
).split()
_TITLE = re.compile("|".join(_TITLES))
_NAMED_BEFORE = frozenset("由 和 是 叫 作者 作家 画家 演员 导演 歌手 教授".split())
_GIVEN = frozenset(  # characters of given names
    "明华伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛超霞平刚桂志国建文红玉兰春梅海燕雪晓小雨云飞龙凤鹏辉斌宇浩凯欣怡佳嘉琪琳慧婷"
    "倩颖莉萍玲珍琴香月莹雅洁梦思雯菲薇曼冰心宁安康健俊豪博达成功庆福寿祥瑞祖德仁义礼智信忠孝良善正非直清廉学诗书画棋林森"
    "木松柏竹江河湖川波山峰岩石金银铜铁钢光星晨阳昊天宏远长永恒久新民生才友世昌盛兴旺荣富贵宝珠翠翔羽振东西南北中少卿子轩"
    "涵然若可爱贞淑惠仪芬芸莲荷菊桃杏樱薰蕾丹彤朱紫青蓝缙罗庚佗藩荃槿熙镛叫雄田师道尚武威震霆雷电霖润泽源泉洪涌先进保卫"
    "兵士毅坚韧广亮炎焕灿曦暖煦黎巩岚优泰乾坤元亨利一鸣凡启开来运鹤鸿雁莺歌舞乐音韵律妮媛姗娅娇娥婉妍妙姝嫣采蕊济慎行继"
    "佐楚彪"
)
_WORDS = frozenset(  # that jieba tags as names
    "任凭 任侠 华东 华中 华南 华北 华西 华夏 华清 华山 华安 华康 华兴 华新 华光 华文 华宝 华为 盖亚 解放 "
    "解甲 解暑 单元 单行 单飞 "
    "单一 单音 乐山 乐平 乐昌 乐清 乐天 乐安 乐道 乐音 乐凯 燕山 燕子 燕京 燕南 燕好 燕舞 薄云 薄明 薄冰 "
    "薄荷 黑山 黑河 黑龙 "
    "黑龙江 黑木 查明 查清 种仁 种子 过敏 过旺 过金 过铁".split()
)


def surname(tokens: list[_Token], at: int) -> list[str]:
    """The syllables of the surname at the start of the word tokens[at], or []. at: not the first or last token."""
    word, kind = tokens[at]
    if compound := _COMPOUND.get(word[:2]):
        return compound
    said = _SURNAMES.get(word[:1])
    if not said:
        return []
    if len(word) > 1:
        name = kind in ("nr", "nrfg") and len(word) <= 3 and word not in _WORDS
        return [said] if name and (_given(word[1:]) or _TITLE.match(word[1:])) else []
    (last, was), (behind, comes) = tokens[at - 1], tokens[at + 1]
    if word in _ALWAYS or last.endswith("姓") or (last in ("小", "老", "阿") and word in _FAMILIAR):
        return [said]
    if word in _VERBS and was[:1] in ("r", "d", "n") and last[-1:] not in ("是", "和", "与", "跟", "叫"):
        return []
    if _TITLE.match(behind):
        return [said] if word not in _COMMON or behind in ("先生", "女士", "小姐") else []
    second = tokens[at + 2][0] if len(behind) == 1 and at + 2 < len(tokens) else ""
    name = behind + second if len(second) == 1 and _given(second) else behind
    named = _given(name) and (len(name) == 2 or comes in ("nr", "zg", "ag")) and word not in _COMMON
    return [said] if named and (was[:1] in ("", "v", "p", "c", "x") or last in _NAMED_BEFORE) else []


def _given(name: str) -> bool:
    return bool(name) and len(name) <= 2 and set(name) <= _GIVEN
