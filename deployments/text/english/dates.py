"""Dates and times of day."""

from __future__ import annotations

import re

from deployments.text.english.numbers import cardinal, ordinal, year
from deployments.text.rules import Match, Rule, letters, rule

MONTHS = (
    "january february march april may june july august september october november december"
).split()  # fmt: skip
_MONTH_NUMBERS = {name: i for i, name in enumerate(MONTHS, 1)} | {
    name[:3]: i for i, name in enumerate(MONTHS, 1)
}
_MONTH_NUMBERS["sept"] = 9

DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_LONG = {name[:3].capitalize(): name for name in MONTHS + DAYS} | {"Sept": "september", "Tues": "tuesday"}
_SHORT = "|".join(sorted(_LONG, key=len, reverse=True))
_MONTH = (
    "(?:"
    + "|".join(f"{m[:3]}(?:{m[3:]})?" if len(m) > 3 else m for m in MONTHS)
    + r"|Sept)(?:\.|(?![A-Za-z]))"
)
_DAY = r"(0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?(?![\dA-Za-z/:%])(?!\.\d)(?!,\d)"
_YEAR = r"((?:1\d|20|21)\d\d)(?![\dA-Za-z%])(?!\.\d)(?!,\d)"
_HALF = r"([AaPp])\.?\s?[Mm](?:\.|(?![A-Za-z]))"


def _month(text: str) -> str:
    return MONTHS[_MONTH_NUMBERS[text.rstrip(".").lower()] - 1]


def _date(month: int, day: int, year_value: int | None) -> str | None:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    spoken = f"{MONTHS[month - 1]} {ordinal(day)}"
    return spoken if year_value is None else f"{spoken} {year(year_value)}"


@rule(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?![\d./-]\d|\d)", when=r"\d{4}[-/.]")
def iso_date(m: Match) -> str | None:
    """2026-11-21"""
    return _date(int(m[2]), int(m[3]), int(m[1]))


@rule(
    r"(\d{4})-(\d\d)-(\d\d)[T ]([01]\d|2[0-3]):([0-5]\d)(?::[0-5]\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?(?![\w:])",
    when=r"\d{4}-",
)
def iso_time(m: Match) -> str | None:
    """2026-11-21T14:05:00Z"""
    date = _date(int(m[2]), int(m[3]), int(m[1]))
    if not date:
        return None
    hour, minute = int(m[4]), int(m[5])
    spoken = f"{date} , {_clock(hour, minute)}{'' if minute else ' hundred' if hour else ' hours'}"
    return spoken + ("" if not m[6] else " U T C" + _offset(m[6]))


def _offset(zone: str) -> str:
    hours, minutes = int(zone[1:3] or 0), int(zone[-2:]) if zone != "Z" else 0
    if not hours and not minutes:
        return ""
    return f" {'minus' if zone[0] == '-' else 'plus'} {_clock(hours, minutes)}"


@rule(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})(?![\d/-]|\.\d)", when=r"\d\d?[/.-]\d")
def numeric_date(m: Match) -> str | None:
    """11/21/2026; the day comes first if the first number cannot be a month"""
    first, second, year_value = int(m[1]), int(m[3]), int(m[4])
    if len(m[4]) == 2:
        if m[2] != "/":
            return None
        year_value += 2000 if year_value < 50 else 1900
    if first > 12 or m[2] == ".":
        first, second = second, first
    return _date(first, second, year_value)


@rule(
    rf"({_MONTH})\s?([1-9]|[12]\d|3[01])\s?[-–]\s?([1-9]|[12]\d|3[01])(?![\d:/%-]|[.,]\d|[A-Za-z])(?:(,?)\s{{1,2}}{_YEAR})?",
    re.IGNORECASE,
)
def days(m: Match) -> str | None:
    """Jan. 5-9, 2026"""
    if int(m[2]) >= int(m[3]):
        return None
    spoken = f"{_month(m[1])} {ordinal(int(m[2]))} to {ordinal(int(m[3]))}"
    return f"{spoken} {',' if m[4] else ''} {year(int(m[5]))}" if m[5] else spoken


@rule(rf"({_MONTH})\s?{_DAY}(?:(,?)\s{{1,2}}{_YEAR})?", re.IGNORECASE)
def month_first(m: Match) -> str | None:
    """Nov 21, 2026"""
    if m[1] == "may" or (m[1] == "march" and not m[4]):
        return None
    spoken = f"{_month(m[1])} {ordinal(int(m[2]))}"
    return f"{spoken} {',' if m[3] else ''} {year(int(m[4]))}" if m[4] else spoken


@rule(rf"({_MONTH})\s{_YEAR}", re.IGNORECASE)
def month_year(m: Match) -> str | None:
    """November 2026"""
    return f"{_month(m[1])} {year(int(m[2]))}"


@rule(
    rf"{_DAY}\s(?:of\s)?({_MONTH})(?:(,?)\s{{1,2}}{_YEAR})?",
    re.IGNORECASE,
    when=r"\d\d?(?:[SNRTsnrt]|\s[oJFMASONDjfmasndO])",
)
def day_first(m: Match) -> str | None:
    """21 November 2026"""
    if m[2] in ("may", "march"):
        return None
    article = "" if m.string[max(0, m.start() - 4) : m.start()].lower() == "the " else "the "
    spoken = f"{article}{ordinal(int(m[1]))} of {_month(m[2])}"
    return f"{spoken} {year(int(m[4]))}" if m[4] else spoken


@rule(r"(0?[1-9]|1[0-2])/(0?[1-9]|[12]\d|3[01])(?![\d/A-Za-z%])(?!-\d|\.\d)", when=r"\d\d?/\d")
def month_and_day(m: Match) -> str | None:
    """on 12/25, Fri 6/3, 12/25 at 7"""
    month, day, before = int(m[1]), int(m[2]), m.string[max(0, m.start() - 12) : m.start()]
    if not (_DATED.search(before) or _AT_A_TIME.match(m.string, m.end())):
        return None
    if month < day <= 16 and _OF_A_WHOLE.match(m.string, m.end()):
        return None  # on 3/4 of the plots
    return _date(month, day, None)


_DATED = re.compile(
    r"(?:\b(?:on|due|dated|until|till|since|starting|effective|deadline:?|birthday:?|date:?)"
    r"|(?:Mon|Tue|Tues|Wed|Thu|Thurs?|Fri|Sat|Sun|(?:[Mm]on|[Tt]ues|[Ww]ednes|[Tt]hurs|[Ff]ri|[Ss]atur|[Ss]un)day)[.,]?)\s\(?$"
)
_AT_A_TIME = re.compile(r"(?:,|\sat|\s@|\sfrom)?\s\d{1,2}(?::\d\d|\s?[ap]\.?m)")
_OF_A_WHOLE = re.compile(r"\s(?:of|cup|tsp|tbsp|inch|mile|pound|full|empty|power|speed|size|scale|time)\b")


def _clock(hour: int, minute: int) -> str:
    if minute:
        return f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    return cardinal(hour)


@rule(rf"([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?(?![\d:])(?:\s?{_HALF})?(?![A-Za-z])", when=r"\d\d?:\d")
def time(m: Match) -> str | None:
    """3:30 pm, 15:45"""
    hour, minute = int(m[1]), int(m[2])
    if m[3] and not m[4] and _is_elapsed(m):
        return _elapsed((hour, minute, int(m[3])))
    spoken = _clock(hour, minute)
    if m[4]:
        return f"{spoken} {m[4].upper()} M"
    if m[3]:
        return f"{spoken} and {cardinal(int(m[3]))} second{'' if int(m[3]) == 1 else 's'}"
    if minute:
        return spoken
    return f"{spoken} o'clock" if 1 <= hour <= 12 else f"{spoken} hundred"


def _is_elapsed(m: Match) -> bool:
    """Whether hours, minutes and seconds are a duration: at most one digit of hours, no word of the clock before."""
    return (len(m[1]) == 1 or m[1] == "00") and not _BY_THE_CLOCK.search(
        m.string, max(0, m.start() - 8), m.start()
    )


_BY_THE_CLOCK = re.compile(r"(?:\b(?:at|since|until|till|by|from)|[,T])\s?$")


def _elapsed(parts: tuple[int, int, int]) -> str:
    named = zip(parts, ("hour", "minute", "second"), strict=True)
    said = [f"{cardinal(value)} {unit}{'' if value == 1 else 's'}" for value, unit in named if value]
    return " ".join(said) or "zero seconds"


@rule(rf"(1[0-2]|0?[1-9])\.([0-5]\d)\s?{_HALF}", when=r"\d\d?\.\d\d\s?[AaPp]")
def pointed_time(m: Match) -> str | None:
    """8.30am"""
    return f"{_clock(int(m[1]), int(m[2]))} {m[3].upper()} M"


@rule(rf"(1[0-2]|0?[1-9])\s?{_HALF}", when=r"\d\d?\s?[AaPp]")
def half_day(m: Match) -> str | None:
    """7 a.m."""
    return f"{cardinal(int(m[1]))} {letters(m[2])} M"


@rule(r"(noon|midnight)[-–](?=(?:1[0-2]|0?[1-9])(?:[:.][0-5]\d)?(?![\d/]))", re.IGNORECASE)
def from_noon(m: Match) -> str | None:
    """noon-1"""
    return f"{m[1]} to "


@rule(r"(\d{1,4})\s?(BCE|BC|CE|AD|B\.C\.E?\.?|A\.D\.|C\.E\.)(?![A-Za-z])", when=r"\d{1,4}\s?[BCA]")
def era(m: Match) -> str | None:
    """44 BC and 1066 AD"""
    return f"{year(int(m[1]))} {letters(m[2])}"


@rule(r"(AD|A\.D\.)\s(\d{1,4})(?![\d,]|\.\d)")
def era_first(m: Match) -> str | None:
    """AD 79"""
    return f"A D {year(int(m[2]))}"


@rule(
    r"((?:1\d|20)\d\d)[-–/](\d\d)(?![\d/-]|[.,]\d|[A-Za-z%])|((?:1\d|20)\d\d)\s?[-–]\s?((?:1\d|20)\d\d)(?![\d-]|[.,]\d)",
    when=r"\d{4}\s?[-–/]",
)
def years(m: Match) -> str | None:
    """1939-45, 2019/20, 1914–1918"""
    first, last = int(m[1] or m[3]), int(m[2] or m[4])
    if m[2] and last <= first % 100 or m[4] and last <= first:
        return None
    return f"{year(first)} to {cardinal(last) if m[2] else year(last)}"


@rule(r"(0\d|1\d|2[0-3])([0-5]\d)(?=\s(?:hours|hrs|GMT|UTC|Zulu)\b)", when=r"\d{4}\s[hGUZ]")
def military(m: Match) -> str | None:
    """0800 hours"""
    hour = f"{'zero ' if m[1][0] == '0' else ''}{cardinal(int(m[1]))}"
    minute = int(m[2])
    return f"{hour} {'hundred' if not minute else ('zero ' if minute < 10 else '') + cardinal(minute)}"


@rule(r"((?:1[1-9]|20)\d\d|\d0)('?)s(?![A-Za-z])", when=r"\d{2}(?:\d\d)?'?s")
def decade(m: Match) -> str | None:
    """1900s, 1990s, 80s"""
    spoken = year(int(m[1])) if len(m[1]) == 4 else cardinal(int(m[1]))
    head, last = spoken.rsplit(" ", 1) if " " in spoken else ("", spoken)
    last = last[:-1] + "ies" if last.endswith("y") else last + "s"
    return f"{head} {last}".strip()


@rule(rf"({_SHORT})\.?[-–]({_SHORT})(?:\.|(?![A-Za-z]))")
def short_range(m: Match) -> str | None:
    """Mon.–Fri., Jan-Dec"""
    return f"{_LONG[m[1]]} to {_LONG[m[2]]}"


@rule(
    r"(Sat|Sun|Mon|Wed)(?=,?\s\d{1,2}(?::\d\d|\s?[ap]\.?m|\s?[-–]\s?\d|\s(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)))"
)
def day_before_hours(m: Match) -> str:
    """Sat 9-1"""
    return _LONG[m[1]]


@rule(r"(Sat|Mon|Wed)(?![A-Za-z.'-])")
def day_within(m: Match) -> str | None:
    """closed Fri and Sat"""
    inside = _GOES_ON.search(m.string, max(0, m.start() - 5), m.start())
    return _LONG[m[1]] if inside else None


_GOES_ON = re.compile(r"(?<!\bthe)(?:[a-z]|[a-z],|&) $")

NUMERIC_RULES: tuple[Rule, ...] = (iso_date, numeric_date, month_and_day, years)
WORD_RULES: tuple[Rule, ...] = (short_range, day_before_hours, day_within, days, month_first, month_year)
RULES: tuple[Rule, ...] = (time, pointed_time, half_day, era, decade, day_first, military)
