"""Surnames that are read otherwise than the word of the same character: 单 is shan4 in 单经理."""

from __future__ import annotations

import re

_Token = tuple[str, str]  # a word and its kind, as jieba names it

_SURNAMES = {
    "单": "shan4", "曾": "zeng1", "仇": "qiu2", "任": "ren2", "朴": "piao2", "查": "zha1", "翟": "zhai2", "解": "xie4",
    "区": "ou1", "华": "hua4", "盖": "ge3", "乐": "yue4", "纪": "ji3", "燕": "yan1", "缪": "miao4", "覃": "qin2", "黑": "he4",
    "洗": "xian3", "员": "yun4", "折": "she2", "种": "chong2", "召": "shao4", "郇": "xun2", "哈": "ha3", "过": "guo1",
    "葛": "ge3", "阚": "kan4", "薄": "bo2", "秘": "bi4", "卜": "bu3", "句": "gou1", "隗": "wei3", "宿": "su4", "能": "nai4",
    "撒": "sa4", "藏": "zang1", "繁": "po2", "都": "du1", "给": "ji3", "晟": "cheng2",
}  # fmt: skip
_COMPOUND = {"尉迟": ["yu4", "chi2"], "万俟": ["mo4", "qi2"], "长孙": ["zhang3", "sun1"], "澹台": ["tan2", "tai2"],
             "令狐": ["ling2", "hu2"], "单于": ["chan2", "yu2"], "乐正": ["yue4", "zheng4"]}  # fmt: skip
_ALWAYS = frozenset("朴翟覃缪郇阚卜葛隗")  # no word by themselves today
_FAMILIAR = frozenset("曾仇任朴翟查单解葛缪覃华燕盖纪")  # behind 小 and 老
_VERBS = frozenset("任查解盖曾过种折洗召给藏撒能")  # which a pronoun or an adverb before makes one
_NOUNS = frozenset("区都黑种过给能")  # too common as words to trust a given name alone
_TITLE = re.compile(
    "(?:先生|女士|小姐|太太|老师|经理|总$|总经理|总监|总裁|总工|医生|大夫|医师|教授|主任|处长|科长|局长|厅长|院长|校长|社长|店长|主席|书记|"
    "部长|省长|市长|县长|镇长|乡长|村长|律师|师傅|同学|警官|法官|检察官|博士|院士|老板|董事|导演|编辑|记者|教练|队长|班长|组长|团长|船长|"
    "夫人|姑娘|阿姨|叔|伯|大爷|大妈|大姐|大哥|奶奶|爷爷|某|氏|工$|工程师|护士|主播|秘书|会计|公子|将军|司令|参谋|研究员|设计师|顾问|"
    "助理|专家|公$|家(?:人|里)$|母$|父$|哥$|县$|姐$|老$|厨$|导$|庄主|掌柜|大侠|员外)"
)
_GIVEN = frozenset(
    "明华伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛超霞平刚桂志国建文红玉兰春梅海燕雪晓小雨云飞龙凤鹏辉斌宇浩凯欣怡佳嘉琪琳慧婷倩颖莉萍"
    "玲珍琴香月莹雅洁梦思雯菲薇曼冰心宁安康健俊豪博达成功庆福寿祥瑞祖德仁义礼智信忠孝良善正非直清廉学诗书画棋林森木松柏竹江河湖"
    "川波山峰岩石金银铜铁钢光星晨阳昊天宏远长永恒久新民生才友世昌盛兴旺荣富贵宝珠翠翔羽振东西南北中少卿子轩涵然若可爱贞淑惠"
    "仪芬芸莲荷菊桃杏樱薰蕾丹彤朱紫青蓝缙罗庚佗国藩荃槿熙镛叫雄田师道尚武威震霆雷电霖润泽源泉洪涌先进保卫兵士毅坚韧广亮炎焕灿"
    "曦暖煦黎巩岚优泰康乾坤元亨利一鸣凡启开来运鹤鸿雁莺歌舞乐音韵律妮媛姗娅娇娥婉妍妙姝嫣采静蕊济慎行继佐楚光彪淑"
)


def surname(tokens: list[_Token], at: int) -> list[str]:
    """The syllables of the surname that the word tokens[at] begins with, or []."""
    word, kind = tokens[at]
    if compound := _COMPOUND.get(word[:2]):
        return compound if len(word) <= 4 else []
    said = _SURNAMES.get(word[:1])
    if not said:
        return []
    if len(word) > 1:
        named = kind in ("nr", "nrfg") and len(word) <= 3 and word[1:] not in ("子", "儿")
        known = named and set(word[1:]) <= _GIVEN and word not in _NOT_NAMES
        return [said] if known or (named and _TITLE.match(word[1:])) else []
    (last, was), following = tokens[at - 1], tokens[at + 1 : at + 3]
    behind = following[0][0] if following else ""
    free = word not in _VERBS or was[:1] not in ("r", "d", "n") or last[-1:] in "是和与跟叫姓"
    if word in _ALWAYS or last[-1:] == "姓" or (last in ("小", "老", "阿") and word in _FAMILIAR):
        return [said]
    if free and _TITLE.match(behind) and (word not in _NOUNS or word == "区" or behind in ("先生", "女士", "小姐")):
        return [said]
    given = behind if len(behind) == 2 else "".join(w for w, _ in following if len(w) == 1)[:2] if len(behind) == 1 else ""
    if free and word not in _NOUNS - {"区"} and given and behind[:1] in _GIVEN and set(behind) <= _GIVEN:
        begins = was[:1] in ("", "v", "p", "c", "x") or last in ("由", "和", "是", "家", "画家", "作者", "叫", "演员", "导演", "歌手", "教授", "作家")
        named = following[0][1][:2] in ("nr", "zg", "ag") or (len(given) == 2 and set(given) <= _GIVEN)
        return [said] if named and begins else []
    return []


_NOT_NAMES = frozenset(
    "任凭 任侠 华东 华中 华南 华北 华西 华夏 华清 华山 华安 华康 华夏 华兴 华新 华光 华文 华宝 华为 盖亚 解放 解甲 解暑 单元 单行 "
    "单飞 单一 单音 乐山 乐平 乐昌 乐清 乐天 乐安 乐道 乐音 乐凯 燕山 燕子 燕京 燕南 燕好 薄云 薄明 薄冰 薄荷 黑山 黑河 黑龙 "
    "黑龙江 黑木 黑木林 查明 查清 种仁 种子 车行 宁静 过敏 过旺 过金 过铁 燕舞".split()
)
