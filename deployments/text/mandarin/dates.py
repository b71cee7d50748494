"""Years, dates and times of day."""

from __future__ import annotations

import re

from deployments.text.mandarin.numerals import before, behind, cardinal, counts, is_ordinal, number, year
from deployments.text.rules import Match, rule

_TO = r"[ ]?[-~–—]{1,2}[ ]?"
_MONTH, _DAY = r"(?:1[0-2]|0?[1-9])", r"(?:3[01]|[12]\d|0?[1-9])"
_CLOCK = r"(?:2[0-4]|[01]?\d):[0-5]\d(?::[0-5]\d)?(?![\d:])"
_AGE_BEHIND = re.compile(r" ?年(?:的?(?:历史|文明|之久|时间)|前的|之久|以上|来的?(?:历史|文明))")
_AGE_BEFORE = re.compile(
    r"(?:距今|已有|历经|长达|超过|跨越|上下|绵延|近|约|有着|有|了)(?:将近|大约|约|近)? ?$"
)
_DATED = re.compile(
    r"(?:日期|时间|截止|截至|生日|定于|今天是|明天是|昨天是|改到|改为|推迟到|提前到|有效期)(?:至|到|是|为|在|"
    r":)*:? ?$"
)
_YEAR_BEFORE = re.compile(r"(?:[在于自从至到截]|截至|截止|直到|早在|始于|生于|创建于|成立于|©|版权所有) ?$")
_YEAR_BEHIND = re.compile(
    r" ?(?:世界杯|世锦赛|世博|奥运|亚运|冬奥|欧洲杯|春晚|春季|夏季|秋季|冬季|春运|款|届|级(?!别)|版|赛季|财年|"
    r"学年|高考|考研|国考|跨年|新年|元旦|春节|年度|第[一二三四]季度|上半年|下半年|中国|国际|全国|全球|北京|"
    r"东京|巴黎|Q[1-4]|H[12]|[,.] ?(?:致|我们))"
)
_BORN_BEHIND = re.compile(
    r" ?(?:年(?:出生|生(?=[,.;]|$)|生人|生的|毕业|入伍|高考|春晚|世界杯)|[后届级]|年\d{1,2}月)"
)
_RATIO_BEFORE = re.compile(
    r"(?:比例|比分|比率|比值|配比|比|之比|以|按|按照|汇率|赔率|比为|宽高|长宽|画面|画幅|屏幕|屏占|赢|输|胜|负|"
    r"平)[是为约:了成]{0,2} ?$"
)
_RATIO_BEHIND = re.compile(
    r" ?(?:的?(?:比例|比分|比率|优势|成绩获胜|屏幕|画面|画幅|宽屏)|获胜|取胜|战胜|击败|战平|逼平|险胜|完胜|"
    r"大胜|领先|落后|稀释|混合|兑水|配制|平局|不敌|惜败|告负|负于|胜|负|赢|输|逆转|拿下|等于|=)"
)
_LASTS = re.compile(r"(?:用时|耗时|时长|成绩|全长|片长|计时|纪录|跑进|跑出|历时|完赛)[是为了:]{0,2}:? ?$")


@rule(
    rf"(?P<year>\d{{4}})(?P<sign>[-/.])(?P<month>{_MONTH})(?P=sign)(?P<day>{_DAY})"
    rf"(?![\d.:/-]|日)(?:[T ](?={_CLOCK}))?",
    when=r"\d{4}[-/.]\d",
)
def full_date(m: Match) -> str:
    """2024-03-05, 2024/3/5, 2024.3.5"""
    return f"{year(m['year'])}年{cardinal(m['month'])}月{cardinal(m['day'])}日"


@rule(
    rf"(?P<year>(?:19|20)\d{{2}})[-/.](?P<month>0[1-9]|1[0-2])"
    rf"(?:{_TO}(?P<later>(?:19|20)\d{{2}})[-/.](?P<last>0[1-9]|1[0-2]))?(?![\d.:/%-]|[ ]?元)(?:月(?!\d))?",
    when=r"\d{4}[-/.]\d",
)
def month_of_year(m: Match) -> str | None:
    """2024-03, 2018.09-2022.06"""
    if (
        not m["later"]
        and "." in m[0]
        and not re.match("[至到]", behind(m))
        and before(m, 1) not in tuple("至到")
    ):
        return None
    later = f"到{year(m['later'])}年{cardinal(m['last'])}月" if m["later"] else ""
    return f"{year(m['year'])}年{cardinal(m['month'])}月{later}"


@rule(
    rf"(?P<month>{_MONTH})\.(?P<day>{_DAY}){_TO}(?P<later>{_MONTH})\.(?P<last>{_DAY})(?![\d.:/%-])",
    when=r"\d\d?\.\d",
)
def days(m: Match) -> str | None:
    """活动6.18-6.20"""
    if int(m["month"]) > int(m["later"]) or not (
        _EVENT_BEFORE.search(before(m, 8)) or _EVENT_BEHIND.match(behind(m))
    ):
        return None
    return f"{cardinal(m['month'])}月{cardinal(m['day'])}日到{cardinal(m['later'])}月{cardinal(m['last'])}日"


_EVENT_BEFORE = re.compile("(?:活动|时间|日期|放假|档期|假期|展期)[是为:]{0,2} ?$")
_EVENT_BEHIND = re.compile(" ?(?:期间|有效|活动|举行|开放|放假|优惠|促销|限时)")


@rule(rf"(?P<month>{_MONTH})[/.-](?P<day>{_DAY})(?![\d.:/-])日?", when=r"\d\d?[/.-]\d")
def day_of_month(m: Match) -> str | None:
    """截止日期3/15, after a word that announces a date."""
    return f"{cardinal(m['month'])}月{cardinal(m['day'])}日" if _DATED.search(before(m, 10)) else None


@rule(
    rf"(?P<first>\d{{4}})(?P<named>[ ]?年)?{_TO}(?P<second>\d{{4}}|\d{{2}}(?=赛季|学年|财年))(?!\d)"
    rf"|(?P<one>\d{{4}})/(?P<other>\d{{4}}|\d{{2}})(?=学年|赛季|财年|年)",
    when=r"\d{4}[ 年~/–—-]",
)
def years(m: Match) -> str | None:
    """2024-2025年, 1990-2000, 2024/25赛季"""
    first, second = m["first"] or m["one"], m["second"] or m["other"]
    named = re.match(r" ?(?:学年|年|赛季|财年)", behind(m))
    if not named and not ("1000" <= first < second < "2100" and not counts(m.string, m.end())):
        return None
    return f"{year(first)}{'年' if m['named'] else ''}到{year(second)}"


@rule(r"\d{4}(?=[ ]?年)", when=r"\d{4}[ 年]")
def year_named(m: Match) -> str:
    """2024年; 5000年 is a duration."""
    lasts = m[0] >= "2100" and m[0].endswith("00") or _AGE_BEHIND.match(behind(m))
    return (
        cardinal(m[0])
        if lasts and not re.search(r"公元 ?$", before(m, 4)) or _lasts_before(m)
        else year(m[0])
    )


def _lasts_before(m: Match) -> bool:
    return m[0].endswith("00") and bool(_AGE_BEFORE.search(before(m, 5)))


@rule(r"(?:19|20)\d{2}(?![\d:/%~-]|[.,]\d)", when=r"\d{4}(?![\d:/%~-])")
def year_alone(m: Match) -> str | None:
    """2024世界杯, 始于1998。"""
    if counts(m.string, m.end()) and not re.match("款|届", behind(m)):
        return None
    if before(m, 1) == '"' and (behind(m, 1) == '"' or not counts(m.string, m.end())):
        return year(m[0])  # 《1984》
    closes = re.match(r" ?(?:[,.;!?)]|$|[至到])", behind(m)) and _YEAR_BEFORE.search(before(m, 6))
    return year(m[0]) if closes or _YEAR_BEHIND.match(behind(m)) else None


@rule(r"\d{2}(?=[ ]?(?:年|后|届|级))", when=r"\d\d[ 年后届级]")
def short_year(m: Match) -> str | None:
    """98年出生, 08年, 90后; 90年代 and 30年 are read as numbers."""
    if is_ordinal(m):
        return None
    if behind(m, 2).strip().startswith("后"):
        people = re.match(r"后(?!天|来|的|面|续)", behind(m)) and m[0][1] in "05"
        return year(m[0]) if people else None
    if m[0][0] == "0" or _BORN_BEHIND.match(behind(m)):
        return None if re.match(r" ?年代", behind(m)) else year(m[0])
    return None


@rule(
    rf"(?P<month>{_MONTH})[ ]?月[ ]?(?P<day>{_DAY})"
    rf"(?:{_TO}(?:(?P<later>{_MONTH})月)?(?P<last>{_DAY}))?[ ]?(?P<name>[日号])",
    when=r"\d\d?[ 月]",
)
def month_and_day(m: Match) -> str:
    """3月05日, 5月1-3日, 9月30日-10月7日"""
    last = f"到{cardinal(m['later']) + '月' if m['later'] else ''}{cardinal(m['last'])}" if m["last"] else ""
    return f"{cardinal(m['month'])}月{cardinal(m['day'])}{last}{m['name']}"


@rule(
    r"(?:(?<=[日月号年点时分秒])|(?<=\d度)|(?<=:\d\d))[ ]?[-~–—]{1,2}[ ]?(?=[\d次下上早晚中凌]|现在)|"
    r"[ ]?[-~–—][ ]?(?=(?:周|星期|礼拜)[一二三四五六日天])",
    when=r"[ ~–—-]",
)
def until(m: Match) -> str:
    """9月30日-10月7日, 周一-周五"""
    return "到"


@rule(r"0?\d{1,2}(?=[ ]?[月日号](?!内))", when=r"\d{1,3}[ 月日号]")
def ordinal(m: Match) -> str:
    """02月, 2号"""
    return cardinal(m[0])


@rule(rf"(?P<first>{_CLOCK}){_TO}(?P<last>{_CLOCK})", when=r"\d\d?:\d")
def hours(m: Match) -> str:
    """8:30-17:30"""
    return f"{_clock(m['first'])}到{_clock(m['last'])}"


@rule(
    rf"(?P<clock>{_CLOCK})(?:[ ]?(?P<half>[ap])\.?m\.?(?![a-z]))?(?P<point>\.\d{{1,3}})?(?:分(?!钟))?",
    re.IGNORECASE,
    when=r"\d\d?:\d",
)
def clock(m: Match) -> str | None:
    """3:30, unless it is a ratio or a duration."""
    parts = m["clock"].split(":")
    if _LASTS.search(before(m, 10)):
        names = ("小时", "分", "秒") if len(parts) == 3 else ("分", "秒")
        named = [number(p) + name for p, name in zip(parts, names, strict=True)]
        return "".join(named)[: -1 if m["point"] else None] + (
            f"秒{year(m['point'][1:])}" if m["point"] else ""
        )
    if m["point"] or _RATIO_BEFORE.search(before(m, 8)) or _RATIO_BEHIND.match(behind(m)):
        return None
    return {"a": "上午", "p": "下午", None: ""}[m["half"] and m["half"].lower()] + _clock(m["clock"])


@rule(r"(?P<hour>1[0-2]|[1-9])[ ]?(?P<half>[ap])\.?m\.?(?![a-z])", re.IGNORECASE, when=r"\d\d?[ apAP]")
def hour(m: Match) -> str:
    """9am"""
    return ("上午" if m["half"] in "aA" else "下午") + _hour(m["hour"]) + "点"


@rule(r"\d{1,2}(?=[ ]?点(?:[ ]?(?:[0-5]?\d|[半整一三]|钟|[^\d]|$)))", when=r"\d\d?[ 点]")
def oclock(m: Match) -> str | None:
    """2点30分, 下午2点"""
    return None if is_ordinal(m) else _hour(m[0])


@rule(r"(?<=点)0[1-9](?=分)|(?<=点)[ ][0-5]\d(?=分)", when=r"0\d分| ")
def minute(m: Match) -> str:
    """8点05分"""
    return _minute(m[0].strip())


def _hour(row: str) -> str:
    return "两" if int(row) == 2 else cardinal(row)


def _minute(row: str) -> str:
    return ("零" if row[0] == "0" else "") + cardinal(row)


def _clock(written: str) -> str:
    """3:00 -> 三点, 3:05:10 -> 三点零五分十秒"""
    hour, minute, *second = written.split(":")
    said = _hour(hour) + "点"
    if minute != "00" or second:
        said += _minute(minute) + "分"
    return said + (_minute(second[0]) + "秒" if second else "")


RULES = (
    full_date, month_of_year, years, year_named, month_and_day, days, day_of_month, hours, clock, hour, year_alone,
    short_year, until, ordinal, oclock, minute,
)  # fmt: skip
