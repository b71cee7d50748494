"""Chinese text as it is read aloud, by the published system's rules, their flaws included.

Source: the rules that the published system took from PaddleSpeech, in its order. Known flaws: a range such as 10-20
reads as a subtraction, and so does a number of a landline; mm reads as 米m. `chinese_text` reads better; these rules
are for texts that must sound as there.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from deployments.text.mandarin import numerals

_REMOVED = re.compile(r"[ —《》【】<>{}()（）#&@“”^_|\\]")
_SENTENCE = re.compile(r"[^：、，；。？！,;?!]*(?:[：、，；。？！,;?!][”’]?|$)")
_WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F) if chr(wide - 0xFEE0).isalnum()} | {0x3000: 32}
_UNITS = {
    "cm2": "平方厘米", "cm²": "平方厘米", "cm3": "立方厘米", "cm³": "立方厘米", "cm": "厘米", "db": "分贝",
    "ds": "毫秒", "kg": "千克", "km": "千米", "m2": "平方米", "m²": "平方米", "m³": "立方米", "m3": "立方米",
    "ml": "毫升", "m": "米", "mm": "毫米", "s": "秒",
}  # fmt: skip
_OPERATORS = {"+": "加", "-": "减", "×": "乘", "÷": "除", "=": "等于"}
_POWERS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹ˣʸⁿ", "0123456789xyn", strict=True))
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρσςτυφχψω",
        "阿尔法 贝塔 伽玛 德尔塔 艾普西龙 捷塔 依塔 西塔 艾欧塔 喀帕 拉姆达 缪 拗 克西 欧米克伦 派 肉 西格玛 "
        "西格玛 套 宇普西龙 服艾 器 普赛 欧米伽".split(),
        strict=True,
    )
)
_CIRCLED = dict(zip("①②③④⑤⑥⑦⑧⑨⑩", "一二三四五六七八九十", strict=True))
_MEASURES = (
    "封|艘|把|目|套|段|人|所|朵|匹|张|座|回|场|尾|条|个|首|阙|阵|网|炮|顶|丘|棵|只|支|袭|辆|挑|担|颗|壳|窠|曲|墙|群|腔|砣|"
    "客|贯|扎|捆|刀|令|打|手|罗|坡|山|岭|江|溪|钟|队|单|双|对|出|口|头|脚|板|跳|枝|件|贴|针|线|管|名|位|身|堂|课|本|页|家|"
    "户|层|丝|毫|厘|分|钱|两|斤|铢|石|钧|锱|忽|克|寸|尺|丈|里|寻|常|铺|程|米|撮|勺|合|升|斗|盘|碗|碟|叠|桶|笼|盆|盒|杯|钟|"
    "斛|锅|簋|篮|罐|瓶|壶|卮|盏|箩|箱|煲|啖|袋|钵|年|月|日|季|刻|时|周|天|秒|旬|纪|岁|世|更|夜|春|夏|秋|冬|代|伏|辈|丸|泡|"
    "粒|幢|堆|根|道|面|片|块|元|折|公里|千米|厘米|毫米|小时|分钟|万|亿|千|百"
)
_NUMBER = r"\d+(?:\.\d+)?"
_SIGNED = rf"-?{_NUMBER}|\.\d+"
_PUNCTUATION = {
    "：": ",", "；": ",", "，": ",", "。": ".", "！": "!", "？": "?", "\n": ".", "·": ",", "、": ",", "...": "…",
    "$": ".", "/": ",", "—": "-", "~": "…", "～": "…", "嗯": "恩", "呣": "母",
}  # fmt: skip
_MARK = re.compile("|".join(map(re.escape, _PUNCTUATION)))
_UNREAD = re.compile(r"[^\u4e00-\u9fa5!?…,.\-]")
_RUN = re.compile(r"([!?…,.\-])[!?…,.\-]+")


def reduced(text: str) -> str:
    """`text` with the six marks of the symbol table, each run of marks as its first, and Chinese characters alone."""
    text = _MARK.sub(lambda m: _PUNCTUATION[m[0]], text)
    return _RUN.sub(r"\1", _UNREAD.sub("", text))


def normalise(text: str) -> str:
    """Chinese characters and the marks `!?…,.-`: "他花了23.5元。" -> "他花了二十三点五元."."""
    text = _REMOVED.sub("", text)
    return reduced("".join(_sentence(sentence) for sentence in _SENTENCE.findall(text)))


def _cardinal(row: str) -> str:
    return numerals.cardinal(row).replace("两", "二")


def _number(written: str) -> str:
    """3.14 -> 三点一四, -3 -> 负三, .5 -> 零点五."""
    whole, _, decimals = written.lstrip("-").partition(".")
    said = _cardinal(whole or "0") + ("点" + numerals.year(decimals) if decimals else "")
    return "负" * written.startswith("-") + said


def _date(m: re.Match[str]) -> str:
    year, month, day = m["year"], m["month"], m["day"]
    said = numerals.year(year) + "年" if year else ""
    said += _cardinal(month) + "月" if month else ""
    return said + (_cardinal(day) + (m["sun"] or "日") if day else "")


def _dashed_date(m: re.Match[str]) -> str:
    return f"{numerals.year(m[1])}年{_cardinal(m[3])}月{_cardinal(m[4])}日"


def _clock(hour: str, minute: str, second: str | None) -> str:
    said = _cardinal(hour) + "点"
    if minute.lstrip("0"):
        half = int(minute) == 30
        said += "半" if half else ("零" if minute[0] == "0" else "") + _cardinal(minute) + "分"
    if second and second.lstrip("0"):
        said += ("零" if second[0] == "0" else "") + _cardinal(second) + "秒"
    return said


def _time(m: re.Match[str]) -> str:
    said = _clock(m[1], m[2], m[3])
    return said + "至" + _clock(m[4], m[5], m[6]) if m.re.groups > 3 else said


def _temperature(m: re.Match[str]) -> str:
    return "零下" * bool(m[1]) + _number(m[2]) + ("摄氏度" if m[3] == "摄氏度" else "度")


def _phone(m: re.Match[str]) -> str:
    return ",".join(numerals.digits(part) for part in re.split(r"[- +]+", m[0]) if part)


def _counted(m: re.Match[str]) -> str:
    said = "两" if m[1] == "2" else _number(m[1])
    return said + ("多" if m[2] == "+" else m[2]) + m[3]


def _version(m: re.Match[str]) -> str:
    return "点".join(numerals.year(part) for part in m[0].split("."))


_MONTH = r"(?P<month>0?[1-9]|1[0-2])月"
_DAY = r"(?P<day>[0-2]?\d|3[01])(?P<sun>[日号])"
_TIME = r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?"
_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), say)
    for pattern, say in (
        (rf"(?P<year>\d{{4}}|\d\d)年(?:{_MONTH})?(?:{_DAY})?", _date),
        (rf"(?P<year>(?!))?{_MONTH}(?:{_DAY})?", _date),
        (r"(?<!\d)(\d{4})([-/.])(0?[1-9]|1[0-2])\2([0-2]?\d|3[01])(?!\d)", _dashed_date),
        (rf"{_TIME}[~-]{_TIME}", _time),
        (_TIME, _time),
        (rf"(?<=\d)(?=~)~(?={_NUMBER}(?:{_MEASURES}|[a-z%℃°]))", lambda m: "至"),
        (rf"(-?)({_NUMBER})(°C|℃|度|摄氏度)", _temperature),
    )
)  # fmt: skip
_LATE_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), say)
    for pattern, say in (
        (r"[⁰¹²³⁴⁵⁶⁷⁸⁹ˣʸⁿ]+", lambda m: "的" + _power(m[0]) + "次方"),
        (r"(-?)(\d+)/(\d+)", lambda m: "负" * bool(m[1]) + f"{_cardinal(m[3])}分之{_cardinal(m[2])}"),
        (rf"(-?)({_NUMBER})%", lambda m: "负" * bool(m[1]) + "百分之" + _number(m[2])),
        (r"(?<!\d)(?:\+?86 ?)?1(?:[38]\d|5[0-35-9]|7[678]|9[89])\d{8}(?!\d)", _phone),
        (r"(?<!\d)(?:0(?:10|2[1-3]|[3-9]\d{2})-?)?[1-9]\d{6,7}(?!\d)", _phone),
        (r"(?<!\d)400-?\d{3}-?\d{4}(?!\d)", _phone),
        (rf"({_SIGNED})[-~]({_SIGNED})", lambda m: f"{_number(m[1])}到{_number(m[2])}"),
        (r"-(\d+)", lambda m: "负" + _cardinal(m[1])),
        (r"\d+(?:\.\d+){2,}", _version),
        (rf"(-?\d*\.\d+)(\+?)((?:{_MEASURES})?)", _counted),
        (rf"(\d+)([多余几+]?)({_MEASURES})", _counted),
        (r"\d{3,}", lambda m: numerals.digits(m[0])),
        (_NUMBER, lambda m: _number(m[0])),
    )
)
_ARITHMETIC = re.compile(rf"({_SIGNED})([+\-×÷=])({_SIGNED})")


def _power(raised: str) -> str:
    written = "".join(_POWERS[character] for character in raised)
    return _cardinal(written) if written.isdecimal() else written


def _sentence(text: str) -> str:
    text = _simplified(text).translate(_WIDE)
    for pattern, say in _RULES:
        text = pattern.sub(say, text)
    for unit, name in _UNITS.items():
        text = text.replace(unit, name)
    while (changed := _ARITHMETIC.sub(_calculated, text)) != text:
        text = changed
    for pattern, say in _LATE_RULES:
        text = pattern.sub(say, text)
    text = text.replace("/", "每")
    return "".join(_CIRCLED.get(c) or _GREEK.get(c.lower()) or _OPERATORS.get(c) or c for c in text)


def _calculated(m: re.Match[str]) -> str:
    return _number(m[1]) + _OPERATORS[m[2]] + _number(m[3])


def _simplified(text: str) -> str:
    from deployments.text.mandarin.script import simplified

    return simplified(text)
