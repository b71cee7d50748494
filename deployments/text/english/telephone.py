"""Telephone numbers of any country's shape, digit by digit."""

from __future__ import annotations

import re

from deployments.text.english.nouns import is_counted
from deployments.text.english.numbers import digits
from deployments.text.rules import Match, Rule, mentions, rule

_GAP = r"(?:[\x20]?\(\d{1,5}\)[\x20./-]?|[\x20]?[./-][\x20]?|[\x20])"
_END = r"(?![\dA-Za-z]|[./,:-]\d|%)"
_DIGITS = re.compile(r"\d+")
_DATE = re.compile(r"\d{1,2}([./-])\d{1,2}\1\d{2,4}")
_YEARS = re.compile(r"(?:1[0-9]|20)\d\d")
_CALLED = re.compile(
    r"\b(?:(?:call|dial|ring|phone|text|fax)(?:ed|s|ing|led|ling)?|rang|tel|telephone|mobile|cell|whatsapp|sms|hotline|helpline|"
    r"switchboard|landline|voicemail|shortcode)(?:[.:]|\s?number:?)?(?:\s(?:us|me|him|her|them|at|on|number|no\.?|is|was|to|the|"
    r"my|our|your|or|and|through|emergency|directly|toll-free|HELP|STOP|YES))*\s?[:#]?\s?$",
    re.IGNORECASE,
)
_OR_CALLED = re.compile(
    r"\b(?:call|dial|ring|phone|text)[a-z]*\s(?:[\d ()+-]{1,20}(?:\([A-Za-z ]{2,20}\))?(?:,|\sor|\sand|/)\s?)+$",
    re.IGNORECASE,
)
_may_be_called = mentions(
    "call dial ring phone text fax rang tel mobile cell whatsapp sms hotline helpline switchboard landline voicemail "
    "shortcode".split()
)
_CALL_BEHIND = re.compile(
    r"[ -](?:calls?|callers?|operators?|dispatch(?:ers?)?|emergency|emergencies|hotline|lines?)\b"
)
_IN_NEED = re.compile(r" (?:for|if|in case|in an?) [a-z]")
_KEYED_BEFORE = re.compile(
    r"\b(?:dial|call|press|enter|type|text|ring)(?:ing|ed|s)?\s(?:[\d*\#]{1,12}\s(?:or|and)\s)?$",
    re.IGNORECASE,
)
_WORDED = re.compile(r"[A-Za-z#:]")
_OF_DAY = re.compile(r"\s?(?:[ap]\.?m\b|o'clock|:\d|noon|in the|tonight|tomorrow|today|sharp)", re.IGNORECASE)
_MAKE = re.compile(r"\b(?:Porsche|Carrera|Delta|Flight) $")
_EMERGENCY = frozenset(
    "911 112 999 411 101 111 000 110 119 118 211 311 511 611 711 811 988 116 995 997 15 17 18 100 108".split()
)


def _said(number: str) -> str:
    spoken = " , ".join(digits(group, group=4 if len(group) > 6 else 0) for group in _DIGITS.findall(number))
    return f"plus {spoken}" if number.startswith("+") else spoken


@rule(rf"\+\d{{1,15}}(?:{_GAP}\d{{1,10}}){{0,6}}(?!\d|[.,]\d)", when=r"\+")
def international(m: Match) -> str | None:
    """+44 20 7946 0958"""
    return _said(m[0]) if 7 <= sum(map(len, _DIGITS.findall(m[0]))) <= 15 else None


@rule(
    rf"(?:1[\x20.-])?\(?\d{{3}}(?:\)[\x20-]?|[\x20.-])\d{{3}}[\x20.-]\d{{4}}{_END}",
    when=r"\d[ .-][(\d]|\d{3}[) .-]|\(",
)
def north_american(m: Match) -> str | None:
    """(555) 123-4567, 1-800-555-0199"""
    return _said(m[0])


@rule(
    r"(?:1[\x20.-])?(8\d\d|900)-([A-Z]{3,10}|\d[A-Z]{2,9}|[A-Z]{2,6}-[A-Z0-9]{2,6})(?![A-Za-z0-9])",
    when=r"\d(?:[ .-]\d|\d\d-)",
)
def vanity(m: Match) -> str | None:
    """1-800-FLOWERS"""
    words = re.sub(r"\d+", lambda d: f" {digits(d[0])} ", m[2]).replace("-", " ").lower()
    return f"{'one , ' if m[0][1] in ' .-' else ''}{digits(m[1])} , {words}"


@rule(rf"\d{{3}}-\d{{4}}{_END}(?!-)", when=r"\d{3}-\d")
def local(m: Match) -> str | None:
    """555-1234"""
    return _said(m[0])


@rule(rf"(?:0\d{{0,5}}|\(\d{{2,5}}\)){_GAP}?\d{{2,9}}(?:{_GAP}\d{{1,8}}){{0,6}}{_END}", when=r"0|\(")
def national(m: Match) -> str | None:
    """020 7946 0018, (02) 9876 5432, 06 12 34 56 78"""
    groups = _DIGITS.findall(m[0])
    parted = m[0][0] == "(" or len(groups) > 1
    decimal = "." in m[0] and len(groups) < 3
    if not parted or decimal or _DATE.fullmatch(m[0]) or not 7 <= sum(map(len, groups)) <= 14:
        return None
    return _said(m[0])


@rule(
    rf"(?:1[3-9]00[\x20-]\d{{3}}[\x20-]\d{{3}}|[6-9]\d{{4}}[\x20-]\d{{5}}|1[3-9]\d[\x20-]\d{{4}}[\x20-]\d{{4}}"
    rf"|\d{{4}}(?:[\x20-]\d{{4}}){{1,4}}|\d{{3}}(?:\x20\d{{3}}){{2}}|[2-9]\d\d(?:\x20\d\d){{3}}|[2-9]\d\x20\d{{3}}\x20\d\d\x20\d\d|[2-9]\d{{9}}|1[2-9]\d{{9}}){_END}",
    when=r"\d{2,5}[ -]\d|\d{10,11}(?!\d)",
)
def grouped(m: Match) -> str | None:
    """1800 123 456, 98765 43210, 138 0013 8000, 1234 5678, 5551234567"""
    groups = _DIGITS.findall(m[0])
    if (
        all(map(_YEARS.fullmatch, groups))
        or "0000" in m[0]
        or groups[0].endswith("000")
        or is_counted(m.string, m.end())
    ):
        return None
    return " , ".join(digits(part) for part in _parts(groups))


def _parts(groups: list[str]) -> list[str]:
    if len(groups) > 1:
        return groups
    number = groups[0]
    first = len(number) - 10
    return [part for part in (number[:first], number[first:-7], number[-7:-4], number[-4:]) if part]


@rule(
    rf"\d{{1,12}}(?:{_GAP}\d{{2,8}}){{0,5}}(?![\d%]|[./,:-]\d)(?![A-Za-z])", when=r"\d{1,12}(?![\dA-Za-z%])"
)
def called(m: Match) -> str | None:
    """call 311, dial 13 12 13, text 741741, 911"""
    groups, text = _DIGITS.findall(m[0]), m.string
    before = text[max(0, m.start() - 48) : m.start()]
    if m[0] in _EMERGENCY and len(m[0]) == 3 and _CALL_BEHIND.match(text, m.end()):
        return digits(m[0])
    if m[0] in _EMERGENCY and _IN_NEED.match(text, m.end()) and _may_be_called(text):
        return digits(m[0])
    if m[0] == "911" and not is_counted(text, m.end()):
        return "nine eleven" if _MAKE.search(before) else digits(m[0])
    if not _may_be_called(text):
        return None
    if not _WORDED.search(before, max(0, len(before) - 12)) and not _OR_CALLED.search(before):
        return None
    if not (_CALLED.search(before) or _OR_CALLED.search(before)):
        return None
    if len(groups) == 1 and m[0] not in _EMERGENCY:
        alone = len(m[0]) < 3 and not re.search(
            r"\b(?:dial(?:ed|ing)?|press|call|ring)\s$", before, re.IGNORECASE
        )
        if (
            alone
            or is_counted(text, m.end())
            or (len(m[0]) < 3 and re.match(r"\s[a-z]", text[m.end() : m.end() + 2]))
        ):
            return None
    if _OF_DAY.match(text, m.end()) or is_counted(text, m.end()):
        return None
    return _said(m[0])


@rule(r"(?<=\d)(?:,?\s|-)?(?:ext|extension|x)[.:]?\s?(\d{1,6})(?![\dA-Za-z])", re.IGNORECASE)
def extension(m: Match) -> str | None:
    """ext. 12"""
    return f"extension {digits(m[1])}"


@rule(r"(?:\*\d{1,6}(?:[*\#]\d{1,12}){0,3}\#?|\#\d{1,6}(?:[*\#]\d{1,12}){0,3}\#)(?![\dA-Za-z*]|\.\d)")
def keyed(m: Match) -> str | None:
    """dial *67, #31#"""
    if not _KEYED_BEFORE.search(m.string, max(0, m.start() - 24), m.start()):
        return None
    return " ".join({"*": "star", "#": "pound"}.get(key) or digits(key) for key in m[0])


RULES: tuple[Rule, ...] = (vanity, called, international, north_american, local, national, grouped)
SIGN_RULES: tuple[Rule, ...] = (keyed, international, north_american, national)
