"""Ranges, scores, ratios, sums, signs and plain numbers."""

from __future__ import annotations

import re

from deployments.text.english.roman import roman
from deployments.text.mandarin import measures
from deployments.text.mandarin.measures import MINUS_BEFORE
from deployments.text.mandarin.money import SCALE, TO, money, money_behind
from deployments.text.mandarin.numerals import (
    NUMBER,
    amount,
    before,
    behind,
    cardinal,
    counts,
    fraction,
    is_ordinal,
    number,
    value,
)
from deployments.text.mandarin.pinyin import HANZI
from deployments.text.rules import Match, rule

_EQUALS = re.compile(r"[\d.+×÷*/() –-]{0,40}(?:=|等于|得(?:\d|多少)|是多少|的差|的结果)")
_SPORT = re.compile(
    r"比分|[队赛胜负败赢输]|平局|进球|主场|客场|半场|决赛|球|冠军|淘汰|击败|逼平|战平|局|盘|领先|落后|晋级|"
    r"横扫|大逆转"
)
_SCORE_BEFORE = re.compile(r"(?:比分|[以近]|比分[是为定]|战成|打成|总分|战绩|比)[是为:了成]{0,2}:? ?$")
_SCORE_BEHIND = re.compile(
    r" ?的?(?:比分|优势|战绩|获胜|取胜|战胜|击败|战平|逼平|大胜|完胜|险胜|横扫|领先|落后|淘汰|不敌|惜败|告负|"
    r"小胜|力克|[赢输胜负平])"
)
_SETS_BEFORE, _SETS_BEHIND = re.compile(r"\d-\d{1,2}, ?$"), re.compile(r", ?\d{1,2}-\d")
_HANZI = re.compile(f"[{HANZI}]")
_PRESSURE = re.compile(r"(?:血压|高压|BP|bp|收缩压|舒张压|高血压|降压药|水银柱)[^.。!?]{0,16}$")
_EYES = re.compile(r"(?:视力|裸眼|矫正|左右眼)[^.。!?]{0,12}$")
_SIGNS = {
    ">=": "大于等于", "<=": "小于等于", "≥": "大于等于", "≤": "小于等于", ">": "大于", "<": "小于",
    "=": "等于", "≠": "不等于",
    "≈": "约等于", "+": "加", "×": "乘", "*": "乘", "x": "乘", "X": "乘", "÷": "除以", "±": "正负", "&": "和",
    "√": "根号",
}  # fmt: skip
_OPERAND = re.compile(rf"(?:[\d){HANZI}%²³]|(?<![A-Za-z])[A-Za-z]) ?$")


@rule(r"\d{1,3}(?:(?:,[ ]?|[ ])000){1,4}(?![\d,])", when=r"\d{1,3}(?:,| 0)")
def thousands(m: Match) -> str:
    """10，000, 10 000"""
    return number(re.sub(r"\D", "", m[0]))


@rule(r"(\d{2,3})[-~](\d{2,3})/(\d{2,3})[-~](\d{2,3})(?!\d)([ ]?mmHg)?", when=r"\d{2,3}[-~]\d")
def pressures(m: Match) -> str:
    """血压120-130/70-80"""
    high, higher, low, lower = map(number, m.groups()[:4])
    return f"{high}到{higher}比{low}到{lower}{'毫米汞柱' if m[5] else ''}"


@rule(
    r"(?P<whole>\d{1,4}[ ])?(?P<above>\d{1,5}(?:\.\d{1,2})?)"
    r"/(?P<below>\d{1,5}(?:\.\d{1,2})?)(?P<more>(?:/\d{1,4}){0,30})(?![\d/]|\.\d)",
    when=r"\d{1,4} \d|[\d.]*\d/\d",
)
def slashed(m: Match) -> str | None:
    """2/3 is a fraction, 120/80 a blood pressure, 5.0/4.8 the sight of two eyes, 2/3/4 a choice, 第1/3页 a page."""
    if m["more"]:
        before_it = number(m["whole"].strip()) + " " if m["whole"] else ""
        return before_it + "、".join(number(part) for part in m[0][len(m["whole"] or "") :].split("/"))
    above, below = m["above"], m["below"]
    front = before(m, 24)
    if _EYES.search(front) or "." in above + below or is_ordinal(m):
        return f"{number(above)} {number(below)}"
    if _PRESSURE.search(front) or (value(above) > value(below) >= 30 and value(above) >= 60):
        return f"{number(above)}比{number(below)}"
    if m["whole"] and value(above) < value(below):
        return f"{number(m['whole'].strip())}又{fraction(above, below)}"
    return (number(m["whole"].strip()) + " " if m["whole"] else "") + fraction(above, below)


@rule(rf"(?P<parts>{NUMBER}(?:[ ]?:[ ]?{NUMBER}){{1,4}})(?![:\d])", when=r"[\d.,]*\d ?:")
def ratio(m: Match) -> str:
    """3:1"""
    return "比".join(number(part.strip()) for part in m["parts"].split(":"))


@rule(
    rf"(?P<first>{NUMBER})(?P<scale>{SCALE})?(?P<sign>{TO})(?P<last>{NUMBER})"
    rf"(?![\d:/]|[.,-]\d)(?P<name>{SCALE})?",
    when=r"[\d.,]*\d ?[~–—百千万亿k-]",
)
def pair(m: Match) -> str | None:
    """3-5天 is a range, 3-1 a score, 10-4= a difference."""
    first, last, sign = m["first"], m["last"], m["sign"].strip()
    front, following = before(m, 24), behind(m, 16)
    scaled = (m["scale"] or "").strip(), (m["name"] or "").strip()
    dashed, around = sign == "-", m.string[max(0, m.start() - 40) : m.end() + 40]
    if dashed and _SPORT.search(around) and (_SETS_BEFORE.search(front) or _SETS_BEHIND.match(following)):
        return f"{number(first)}比{number(last)}"
    if dashed and (_EQUALS.match(following) or re.search(r"= ?$", front)):
        return f"{number(first)}减{number(last)}"
    if (
        dashed
        and not any(scaled)
        and "." not in first + last
        and (_SCORE_BEFORE.search(front) or _SCORE_BEHIND.match(following))
    ):
        return f"{number(first)}比{number(last)}"
    falls = value(first) >= value(last) and not scaled[0]
    if dashed and falls:
        score = (
            first == last
            or _SPORT.search(around)
            or (_HANZI.match(front[-1:]) and _HANZI.match(following) and not counts(m.string, m.end()))
        )
        return f"{number(first)}{'比' if score else '减'}{number(last)}"
    counted = counts(m.string, m.end()) and not is_ordinal(m)
    return (
        amount(first, counted or bool(scaled[0]))
        + scaled[0]
        + "到"
        + amount(last, counted or bool(scaled[1]))
        + scaled[1]
    )


@rule(
    r"(?!\d{1,3}(?:,\d{3}){1,8}(?![\d,]))(?P<row>\d{1,4}(?:,\d{1,2}){1,20}|"
    r"\d{1,2}(?:,\d{1,4}){1,20})(?![\d,]|\.\d)",
    when=r"\d{1,4},\d",
)
def listed(m: Match) -> str:
    """1,2,3名"""
    return " ".join(number(part) for part in m["row"].split(","))


@rule(rf"(?P<sign>[+-])[ ]?(?P<n>{NUMBER})", when=r"[+-]")
def signed(m: Match) -> str | None:
    """-5; a dash after a word is not a minus sign."""
    if m["sign"] == "-":
        if re.search(r"[\d)%] ?$", before(m, 2)) and _EQUALS.match(m.string[m.end() :][:48]):
            return "减" + number(m["n"])
        return "负" + number(m["n"]) if MINUS_BEFORE.search(before(m, 2)) and m[0][1] != " " else None
    return "加" + amount(m["n"], counts(m.string, m.end()))


@rule(NUMBER, when=r"\d")
def plain(m: Match) -> str:
    """42, 1,234.5; 2个"""
    return amount(m[0], counts(m.string, m.end()) and not is_ordinal(m))


@rule(
    r"(?:[<>]=?|[=≥≤≠≈+×÷±&*xX√])(?![-=<>+*/&|!])(?=[ ]?(?:[\d(" + HANZI + r"¥$€£√-]|[A-Za-z](?![A-Za-z])))",
    when=r"\D",
)
def sign(m: Match) -> str | None:
    """A sign between operands, with spaces on both sides or on neither; **bold** has none."""
    front = before(m, 2)
    if m[0] == "√":
        return _SIGNS[m[0]]
    if not _OPERAND.search(front) or front.endswith(" ") != behind(m, 1).startswith(" "):
        return None
    if m[0] in "xX*" and not (re.search(r"\d ?$", front) and re.match(r" ?\d", behind(m, 2))):
        return None
    return _SIGNS[m[0]]


@rule(r"[IVX]{1,5}(?![A-Za-z\d])")
def roman_numeral(m: Match) -> str | None:
    """第IV章, II期, 路易XIV"""
    found, front = roman(m[0]), before(m, 1)
    if not found:
        return None
    named = re.match(
        r" ?(?:期|级|类|度|章|卷|部|世|等|区|阶段|代|号|段|节|篇|册|层|线|型(?!发动)|相|因子|导联|组|系列)",
        behind(m),
    )
    if len(m[0]) == 1 and m[0] in "VX":
        return cardinal(str(found)) if front == "第" else None
    if front == "第" or named or (len(m[0]) > 1 and re.search(f"[{HANZI}]", front)):
        return cardinal(str(found))
    return None


@rule(r"N[oO]\.[ ]?(?=\d)")
def numbered(m: Match) -> str:
    """NO.1"""
    return "第"


RULES = (
    measures.height, pressures, money, thousands, measures.percent, measures.measures, measures.measure, measures.power,
    money_behind,
)  # fmt: skip
LATE_RULES = (measures.per_unit, measures.raised, slashed, pair, listed, ratio, signed, plain, sign)
