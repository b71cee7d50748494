"""Identifiers with a recognisable shape: MAC, IP and hexadecimal addresses, IBANs, part numbers, I-280."""

from __future__ import annotations

import re

from deployments.text.english.dates import MONTHS
from deployments.text.english.numbers import cardinal, digits, identifier, spelled
from deployments.text.english.vocabulary import SHOUTED
from deployments.text.rules import Match, Rule, letters, rule

_PIECE = re.compile(r"[A-Za-z]+|\d+")
_END = r"(?![A-Za-z0-9]|-[A-Za-z0-9])"
_MIXED = re.compile(r"(?=.*\d)(?=.*[A-Z])")
_WORDS = frozenset("PRE MID POST NON ANTI EX PRO".split()) | {name[:3].upper() for name in MONTHS}
_SERIES = re.compile(r"([A-Z]{1,3})(\d{1,4})-([A-Z]{1,3})(\d{1,4})")


@rule(r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![A-Za-z0-9:])", when=r"\d{2}[:-]|\d[A-Fa-f][:-]|\d[A-Fa-f]")
def hardware_address(m: Match) -> str:
    """00:1B:44:11:3A:B7"""
    return " , ".join(spelled(m[0][i : i + 2]) for i in range(0, 17, 3))


@rule(
    r"(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])"
    r"|(?=[0-9:]{0,30}[A-Fa-f])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6}::(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6})?(?![\w:])",
    when=r"\d{1,4}[:A-Fa-f]",
)
def internet_address_6(m: Match) -> str:
    """2001:db8::1"""
    return " ".join("colon" if c == ":" else spelled(c) for c in m[0])


@rule(r"(\d{1,3}(?:\.\d{1,3}){3})(?::(\d{2,5}))?(?:/(\d{1,2}))?(?![\d.:]\d|\w)", when=r"\d{1,3}\.\d")
def internet_address(m: Match) -> str | None:
    """192.168.0.1:8080, 10.0.0.0/8"""
    parts = m[1].split(".")
    if any(int(part) > 255 or part[0] == "0" != part for part in parts):
        return None
    spoken = " dot ".join(identifier(part) for part in parts)
    spoken += f" colon {identifier(m[2])}" if m[2] else ""
    return spoken + (f" slash {cardinal(int(m[3]))}" if m[3] else "")


@rule(r"0[xX]([0-9A-Fa-f]{1,16})(?![A-Za-z0-9])", when=r"0[xX]")
def hexadecimal(m: Match) -> str:
    """0x80070005"""
    return f"zero X {spelled(m[1])}"


@rule(
    r"\d{6,}[a-f][0-9a-f]{2,}(?![A-Za-z0-9])|\d(?=[0-9a-f]{0,39}[a-f]\d{1,39}[a-f])[0-9a-f]{6,39}(?![A-Za-z0-9])",
    when=r"\d{1,12}[a-f][\da-f]",
)
def digest(m: Match) -> str:
    """9f3ab2c"""
    return spelled(m[0])


@rule(
    r"(?=[0-9a-f-]{0,44}(?:\d[a-f]|[a-f]\d))[0-9a-f]{4,12}(?:-[0-9a-f]{4,12}){1,4}(?![\w-])",
    when=r"\d{1,12}[a-f-]",
)
def uuid(m: Match) -> str:
    """123e4567-e89b-12d3-a456-426614174000"""
    return " , ".join(map(spelled, m[0].split("-")))


@rule(r"[A-Z]{2}\d{2}(?:\x20?[A-Z0-9]{4}){3,7}(?:\x20?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
def bank_account(m: Match) -> str | None:
    """GB29 NWBK 6016 1331 9268 19"""
    row = m[0].replace(" ", "")
    if sum(map(str.isdecimal, row)) < 8:
        return None
    return " , ".join(spelled(row[i : i + 4]) for i in range(0, len(row), 4))


def _is_word(part: str) -> bool:
    return part.isalpha() and len(part) > 1 and (len(part) > 4 or part in SHOUTED or part in _WORDS)


@rule(rf"[A-Z0-9]{{1,8}}(?:-[A-Z0-9]{{1,8}}){{1,6}}{_END}", when=r"\d{1,8}(?:[A-Z]|-[A-Z\d])")
def part_number(m: Match) -> str | None:
    """A-10-4432-X, SN-48X9-22B; but I-280, U-21, COVID-19"""
    parts = m[0].split("-")
    if len(parts) == 2 and parts[0].isdigit() and len(parts[1]) < 5:
        return None  # 100-240V
    if not _MIXED.match(m[0]) or any(map(_is_word, parts)):
        return None
    if len(parts) > 2 or any(map(_MIXED.match, parts)):
        if (series := _SERIES.fullmatch(m[0])) and series[1] == series[3]:
            joint = " to " if int(series[2]) < int(series[4]) else " "
            return joint.join(f"{letters(part)} {identifier(part[len(series[1]) :])}" for part in parts)
        short = all(len(part) < 3 for part in parts)
        return " , ".join(
            " ".join(identifier(p) if short and p.isdigit() else spelled(p) for p in _PIECE.findall(part))
            for part in parts
        )
    if len(parts[0]) < 4 and parts[0].isalpha() and parts[1].isdigit() and len(parts[1]) in (3, 4):
        return f"{letters(parts[0])} {identifier(parts[1])}"
    return None


@rule(r"(7[0-9]7|A3[0-9]{2})-([1-9]\d{0,2})(?![\d-]|[.,]\d)", when=r"\d{3}-\d")
def airliner(m: Match) -> str:
    """737-800"""
    return f"{letters(m[1])} {identifier(m[1].lstrip('A'))} {identifier(m[2])}".strip()


@rule(r"([A-Z])\.([1-9]\d{2})(?![\w.,]\d|\w)")
def standard(m: Match) -> str:
    """H.264, X.509"""
    return f"{m[1]} {identifier(m[2])}"


@rule(r"[1-9]\d\d(?:\([a-z0-9]{1,2}\)){1,3}(?![A-Za-z0-9])", when=r"\d{3}\(")
def clause(m: Match) -> str:
    """401(k), 501(c)(3)"""
    first, *parts = re.findall(r"[a-z0-9]+", m[0])
    return " ".join([identifier(first), *(digits(p) if p.isdigit() else letters(p) for p in parts)])


RULES: tuple[Rule, ...] = (
    hardware_address, internet_address_6, internet_address, hexadecimal, uuid, digest, part_number, airliner, clause,
)  # fmt: skip
WORD_RULES: tuple[Rule, ...] = (
    hardware_address,
    internet_address_6,
    bank_account,
    part_number,
    standard,
    airliner,
)
