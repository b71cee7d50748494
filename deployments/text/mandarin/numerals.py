"""Numbers as Chinese characters, and the measure words that follow them."""

from __future__ import annotations

import re

from deployments.text.rules import Match

# Bounded, so that a scan over a long row of digits stays linear
NUMBER = r"(?:\d{1,3}(?:,\d{3}){1,8}(?![\d,])|\d{1,40})(?:\.\d{1,40})?(?!\d)"

_NAMES = "零一二三四五六七八九"
_ONE_BY_ONE, _YEAR = str.maketrans("0123456789", "零幺二三四五六七八九"), str.maketrans("0123456789", _NAMES)
_LARGEST = 10**16  # beyond it, digits are read one by one

# Measure words: 2 before one is 两, and three or more digits before one are not a code.
_MEASURES = (
    "个|只|条|张|件|位|名|天|年(?!级)|周|岁|次|倍|种|份|台|间|部|句|门|块|小时|分钟|秒|人|米|公里|千米|厘米|"
    "毫米|英里|公斤|千克|克|斤|"
    "两|吨|升|毫升|杯|碗|瓶|盒|袋|箱|包|片|粒|颗|滴|支|枝|根|把|套|双|对|辆|架|艘|层|栋|座|所|家|户|排|行|列|"
    "组|队|批|群|集|节|篇|首|"
    "幅|封|页|步|场|局|轮|圈|趟|遍|回|顿|口|声|样|项|款|道|星期|月(?=[内前后间])|"
    "点(?![\\d零一二三四五六七八九])|本|头|匹|株|棵|朵|串|"
    "桶|罐|锅|盘|副|届|股|亩|公顷|平|立方|分(?!之|公|店|校|部|局|册)|元(?![旦素件首老音])|港元|美元|欧元|"
    "日元|英镑|毛|角|万|千|亿|百|余|多|"
    "字|票|单(?!元|人|词|位)|桌|勺|匙|成|摄氏度|度|英寸|寸|尺|里|海里|瓦|伏|卡|千卡|枚|胜|厅|卫(?!生)|团|壶|株|面|顶|扇|盏|"
    "缕|束|堆|打|发|帧|枪|站|关"
)
_COUNTED = re.compile(rf" ?(?:{_MEASURES})")
_ORDINAL = re.compile(r"(?:第|初|星期|周|十)$")


def digits(row: str) -> str:
    """Digit by digit, as in codes and room numbers: 110 -> 幺幺零. Other characters are skipped."""
    return re.sub(r"\D", "", row).translate(_ONE_BY_ONE)


def year(row: str) -> str:
    """2012 -> 二零一二."""
    return row.translate(_YEAR)


def cardinal(row: str) -> str:
    """12200 -> 一万二千二百, 2000 -> 两千, 0 -> 零."""
    if len(row) > 40 or int(row) >= _LARGEST:
        return row.translate(_YEAR)
    rest, made, gap = int(row), "", False
    for size, name in ((10**12, "万亿"), (10**8, "亿"), (10**4, "万"), (1, "")):
        group, rest = divmod(rest, size)
        if group:
            made += "零" * bool(made and (gap or group < 1000)) + _group(group) + name
        gap = not group
    if made.startswith("一十"):
        return made[1:]
    return re.sub("^二(?=[百千万亿])", "两", made).replace("亿二万", "亿两万") or "零"


def _group(value: int) -> str:
    """The characters of 1 to 9999."""
    made, gap = "", False
    for size, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, value = divmod(value, size)
        if digit:
            made += "零" * bool(made and gap) + _NAMES[digit] + name
        gap = not digit
    return made


def number(written: str) -> str:
    """A number with or without commas and decimals: 1,234.50 -> 一千二百三十四点五零."""
    whole, _, decimals = written.replace(",", "").partition(".")
    return cardinal(whole) + ("点" + year(decimals) if decimals else "")


def amount(written: str, counted: bool) -> str:
    """A number; if `counted`, 2 is 两."""
    return "两" if counted and written == "2" else number(written)


def fraction(above: str, below: str) -> str:
    """2, 3 -> 三分之二"""
    return f"{number(below)}分之{number(above)}"


def value(written: str) -> float:
    return float(written.replace(",", ""))


def counts(text: str, at: int) -> bool:
    """Whether a measure word follows at `at`."""
    return bool(_COUNTED.match(text, at))


def before(m: Match, size: int = 16) -> str:
    """The text before the match."""
    return m.string[max(0, m.start() - size) : m.start()]


def behind(m: Match, size: int = 12) -> str:
    """The text after the match."""
    return m.string[m.end() : m.end() + size]


def is_ordinal(m: Match) -> bool:
    """Whether the match is an ordinal: 第2, 星期2."""
    return bool(_ORDINAL.search(before(m, 2)))
