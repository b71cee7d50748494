"""Signs among words: which are said, which pause, which only adorn."""

from __future__ import annotations

import re

from deployments.text.english.dates import DAYS, MONTHS
from deployments.text.english.vocabulary import OPERATORS, SYMBOL_WORDS
from deployments.text.words import DASH

_OPERATOR = re.compile(
    rf"(?:{'|'.join(map(re.escape, OPERATORS))})(?![-=<>+*/&|])(?= ?[\w(\[\"'+!-])", re.ASCII
)
_OPERAND_ENDS = re.compile(r"[\w)\]\"'⁰¹²³⁴-⁹] ?$", re.ASCII)
# a*b, 2*x; but not f*ck
_FACTOR = re.compile(r"(?:^|[^A-Za-z0-9])[A-Za-z]$|\d$")
_FACTOR_AHEAD = re.compile(r"[A-Za-z0-9](?![A-Za-z])|\d")
_RANGE_START = re.compile(r"(?:(:\d\d|\d\s?[ap]\.?m\.?)|(\d{1,9})(?:°?[CF]|[%°€])?)$", re.IGNORECASE)
_RANGE_END = re.compile(r"[$£€¥]?(\d{1,9})")
GRADE = re.compile(r"(?<![A-Za-z-])(?:[A-F]|AB|O)$")
_HOURS = re.compile(
    r"(?:Mon|Tue|Tues|Wed|Thu|Thurs|Fri|Sat|Sun|days?|[Oo]pen|[Hh]ours|[Dd]aily|[Ff]rom)[.:]? \d{1,2}$"
)
_SPACED_LEFT = re.compile(r"(?:^|[^\w.])((?:\d{1,4})?[a-zA-Z]|\d{1,4}[a-z]{2}|[\d.,]*\d)[)⁰¹²³⁴-⁹%]* $")
_SPACED_RIGHT = re.compile(
    r" [-(√$]?(?:([\d.,]*\d)(?![a-zA-Z]{2}(?!(?<=[a-z]{2})(?![a-zA-Z])))|[a-zA-Z](?![A-Za-z'.]))"
)
_SUM = re.compile(r"[=+×÷≈≤≥]|(?<=\d) [*/] (?=\d)")


_LABEL = re.compile(r"[A-Z]{1,4}-?\d{2}")  # #A-2093
_SIZED = re.compile(r"\d\s?(?:[cmk]?m|in|ft|yd|[\"'])\s?$")
_DIFFERENCE = re.compile(r"-[\d.,]{1,12}(?:[-+*/×÷][\d.,]{1,12}){0,4}\s?=\s?[-−]?[\d?x]")  # 8-3=5
_EXTENSION = re.compile(r"(?<![^\s(\"'])\.[A-Za-z]{2,12}\b")  # .NET, .env


def operator(text: str, at: int) -> str | None:
    """One of OPERATORS between its operands, with blanks on both sides or on neither: **bold** is none."""
    match = _OPERATOR.match(text, at)
    if not match or text[at - 1 : at].isspace() != text[match.end() : match.end() + 1].isspace():
        return None
    return match[0] if _OPERAND_ENDS.search(text[max(0, at - 2) : at]) else None


def is_range(text: str, at: int) -> bool:
    """Whether the dash at `at` stands for "to": between times, or numbers with the smaller one first."""
    left = _RANGE_START.search(text[max(0, at - 12) : at])
    right = _RANGE_END.match(text, at + 1)
    if not left or not right:
        return False
    if (
        text[at - len(left[0]) - 1 : at - len(left[0])].isalpha()
        and text[at + 1 + len(right[0]) :][:1].isalpha()
    ):
        return False  # i7-12700K
    hours = max(int(left[2] or 0), int(right[1])) <= 12 and bool(_HOURS.search(text, max(0, at - 20), at))
    return bool(left[1]) or hours or text[at] == "–" or int(left[2]) < int(right[1])


def spaced_dash(text: str, at: int) -> str | None:
    """What is said for a dash between blanks: "minus" in a sum, "to" between numbers, else None."""
    left = _SPACED_LEFT.search(text[max(0, at - 16) : at])
    right = _SPACED_RIGHT.match(text, at + 1)
    if not left or not right:
        return None
    clause = (
        re.split(r"[,;:]\s", text[max(0, at - 40) : at])[-1] + re.split(r"[,;:]\s", text[at : at + 40])[0]
    )
    if _SUM.search(clause):
        return "minus"
    if not (right[1] and left[1][-1].isdecimal()):
        return None
    first, second = (
        float(number.replace(",", "").rstrip(".") or 0) if number.count(".") < 2 else 0.0
        for number in (left[1], right[1])
    )
    return "to" if first < second or text[at] == "–" else "minus"


def is_month_or_day(word: str) -> bool:
    return word in MONTHS or word in DAYS


def symbol(text: str, at: int, said: str) -> str | None:
    """What is said for a sign alone, None for ornaments. said: the word before."""
    char, before, after = text[at], text[at - 1] if at else " ", text[at + 1 : at + 2] or " "
    if char == "#":
        numbered = _LABEL.match(text, at + 1)
        return "number" if after.isdecimal() or numbered else "hashtag" if after.isalpha() else None
    if char == "×" and _SIZED.search(text, max(0, at - 8), at):
        return "by"  # 4.5 m × 3 m
    if char == "!" and after.isalnum() and (before == "(" or text[max(0, at - 3) : at] in ("&& ", "|| ")):
        return "not"
    if char == "." and _EXTENSION.match(text, at):
        return "dot"
    digits_around = text[max(0, at - 2) : at].rstrip(" ")[-1:].isdecimal()
    next_char = text[at + 1 : at + 3].lstrip()[:1]
    if char == "*":
        spaced = before == after == " " and bool(_OPERAND_ENDS.search(text[max(0, at - 2) : at]))
        named = bool(_FACTOR.search(text[max(0, at - 2) : at]) and _FACTOR_AHEAD.match(text, at + 1))
        if spaced and said == "select":  # SELECT * FROM
            return "star"
        factors = digits_around and next_char.isdecimal() or named or (spaced and next_char.isalnum())
        return "times" if factors else None
    if char == "−":
        return "minus"
    if char == "^":
        return (
            "to the power of"
            if (before.isalnum() or before == ")") and (after.isalnum() or after in "-(")
            else None
        )
    if char in "<>":
        alone = (
            (before == " " or before.isdecimal())
            and (after == " " or after.isdecimal())
            and next_char.isalnum()
        )
        return {"<": "less than", ">": "greater than"}[char] if alone else None
    if char == "~":
        return (
            ("to" if digits_around else "about")
            if after.isdecimal() or after in "$£€" and after != " "
            else None
        )
    if char == "/" and before == after == " " and digits_around and next_char.isdecimal():
        return "divided by"
    if (
        char == "+"
        and not next_char.isalnum()
        and (before.isdecimal() or GRADE.search(text, max(0, at - 2), at))
    ):
        return "plus"  # 18+, A+
    if char in "+=/@&\\":
        touching = (before.isalnum() or before in " )⁰¹²³⁴⁵⁶⁷⁸⁹%°\"'") and (
            next_char.isalnum() or next_char in "($£€√-." and next_char
        )
        return SYMBOL_WORDS[char] if touching else None
    if char == "$" and after.isalpha():
        return None  # $HOME, $x$
    return SYMBOL_WORDS.get(char)


def dash(text: str, at: int, said: str) -> tuple[str, int, int]:
    """What is said for the dash at `at`, or the pause there instead, and where it ends. said: the word before."""
    before, after = text[at - 1 : at] or " ", text[at + 1 : at + 2] or " "
    if after in "-–":
        while text[at + 1 : at + 2] in ("-", "–"):
            at += 1
        return "", DASH, at + 1
    if not after.isalnum() and text[at] == "-" and GRADE.search(text, max(0, at - 3), at):
        return "minus", 0, at + 1  # B-
    number_follows = after.isdecimal() or after in "$£€¥." and text[at + 2 : at + 3].isdecimal()
    if number_follows and (before.isspace() or before in "([=<>$£€,^"):
        return "minus", 0, at + 1
    if number_follows and before.isdecimal() and _DIFFERENCE.match(text, at):
        return "minus", 0, at + 1
    if number_follows and is_range(text, at):
        return "to", 0, at + 1
    if before.isspace() and after.isspace():
        spoken = spaced_dash(text, at)
        return (spoken, 0, at + 1) if spoken else ("", DASH, at + 1)
    if text[at] == "–":
        return ("to", 0, at + 1) if is_month_or_day(said) else ("", DASH, at + 1)
    return "", 0, at + 1
