"""Plain numbers and other forms of numbers: ordinals, versions, years, powers of ten."""

from __future__ import annotations

import re

from deployments.text.english import measures
from deployments.text.english.dates import MONTHS
from deployments.text.english.fractions import ratio
from deployments.text.english.nouns import is_counted
from deployments.text.english.numbers import (
    NUMBER,
    cardinal,
    decimal,
    digits,
    identifier,
    ordinal,
    whole,
    year,
)
from deployments.text.rules import Match, Rule, letters, rule

_END = r"(?![\dA-Za-z]|\.\d)"
_MORE_BEHIND = re.compile(r"\s(?:[a-z]{3,}|as|an?)\b|[.,!?]|$")


@rule(rf"({NUMBER})(x|×)(?![A-Za-z0-9])", when=r"[\d.,]*\d[x×]")
def times_as_much(m: Match) -> str | None:
    """10x faster, but 2x + 1"""
    if not _MORE_BEHIND.match(m.string, m.end()) or m.string[: m.start()].rstrip()[-1:] in tuple("=+*/(-"):
        return None
    return f"{decimal(m[1])} {'time' if m[1] == '1' else 'times'}"


@rule(r"(\d{1,9}(?:\.\d{1,9})?)e([+-]?)(\d{1,3})(?![A-Za-z0-9]|\.\d)", re.IGNORECASE, when=r"[\d.]*\d[eE]")
def exponent(m: Match) -> str | None:
    """1.5e-3"""
    if not m[2] and "." not in m[1]:
        return None  # 3e5 is as likely a name
    spoken = f"minus {cardinal(int(m[3]))}" if m[2] == "-" else ordinal(int(m[3]))
    return f"{decimal(m[1])} times ten to the {spoken}"


@rule(r"1(0{1,3})s(?=\s(?:of|and)\b)", when=r"\d{2,4}s")
def round_plural(m: Match) -> str | None:
    """100s of people"""
    return {1: "tens", 2: "hundreds", 3: "thousands"}[len(m[1])]


@rule(rf"({NUMBER})([A-Za-z]{{1,2}})(?![A-Za-z0-9'])", when=r"[\d.,]*\d[A-Za-z]")
def decimal_with_letters(m: Match) -> str | None:
    """3.5k"""
    return f"{decimal(m[1])} {letters(m[2])}" if "." in m[1] or "," in m[1] else None


@rule(r"(\d{3,4})p(?![A-Za-z0-9])", when=r"\d{3,4}p")
def resolution(m: Match) -> str | None:
    """1080p"""
    return f"{identifier(m[1])} P"


@rule(
    r"(\d{1,3}(?:,\d{3}){1,5}|\d{1,15})(?:st|nd|rd|th)(?![A-Za-z0-9])",
    re.IGNORECASE,
    when=r"[\d,]*\d[SNRTsnrt]",
)
def ordinal_number(m: Match) -> str | None:
    """22nd"""
    return ordinal(int(m[1].replace(",", "")))


@rule(r"\d{1,9}(?:\.\d{1,9}){2,8}(?!\.?\d)(?![A-Za-z])", when=r"\d{1,9}\.\d")
def version(m: Match) -> str | None:
    """1.2.3 and 192.168.0.1"""
    return " dot ".join(whole(part) for part in m[0].split("."))


@rule(r"[vV](?:er)?\.?(\d{1,4}(?:\.\d{1,4}){1,3})(?![A-Za-z0-9])")
def named_version(m: Match) -> str | None:
    """v1.0"""
    return "version " + (decimal(m[1]) if m[1].count(".") == 1 else " dot ".join(map(whole, m[1].split("."))))


@rule(r"\d{1,12}(?:-\d{1,12}){2,8}(?:-[xX])?(?![A-Za-z0-9])", when=r"\d{1,12}-\d")
def digit_groups(m: Match) -> str | None:
    """978-3-16-148410-0"""
    return " , ".join("X" if part in "xX" else digits(part) for part in m[0].split("-"))


@rule(r"([1-9]\d?)([,.])(\d{1,2}(?:\2\d{1,2}){2,8})(?![\d,.]\d)", when=r"\d\d?[,.]\d")
def listed(m: Match) -> str | None:
    """1,2,3"""
    return " , ".join(cardinal(int(part)) for part in m[0].split(",")) if m[2] == "," else None


@rule(rf"(\d{{4}})(?!\d|,\d|\.\d){_END}", when=r"\d{4}(?![\dA-Za-z])")
def year_number(m: Match) -> str | None:
    """1999, 2026; other four-digit numbers only where the word before them speaks of time"""
    value, text = int(m[1]), m.string
    before = text[max(0, m.start() - 14) : m.start()].lower().split()
    last = before[-1] if before else ""
    if 1000 < value < 1800:
        dated = last in _TIME_WORDS or (last == "of" and before[-2:-1] not in _SUMS)
        return year(value) if dated and not is_counted(text, m.end()) else None
    if not 1800 <= value <= 2099:
        return year(value) if last == "year" else None
    if is_counted(text, m.end(), cautious=True) and last not in _DATING:
        # "in 2019 words" is a quantity, "in 2019 words were said" is none
        ends = re.match(r"[ -]\w+(?: of\b|[.,;:!?)]|\s*$)", text[m.end() : m.end() + 24])
        if last not in ("in", "since", "during", "the", "by", "from", "until", "before", "after") or ends:
            return None
    if re.match(
        r" (?:percent|million|billion|thousand|or more|and counting)\b", text[m.end() : m.end() + 13]
    ):
        return None
    return year(value)


_SUMS = (["total"], ["sum"], ["number"], ["count"], ["score"], ["average"])
_DATING = frozenset(
    "year summer winter spring autumn fall early late mid circa season class".split()
) | frozenset(MONTHS)
_TIME_WORDS = _DATING | frozenset("in since from until till before after around during c. ca. c".split())


@rule(rf"({NUMBER}){_END}")
def number(m: Match) -> str | None:
    return decimal(m[1])


WORD_RULES: tuple[Rule, ...] = (named_version,)
RULES: tuple[Rule, ...] = (
    round_plural, exponent, *measures.RULES, times_as_much, ratio, ordinal_number, version, digit_groups, listed,
    resolution, year_number, number, decimal_with_letters,
)  # fmt: skip
