"""Fractions, ratios and pairs of numbers with a slash: 1/2, 2 3/4, 24/7, 120/80."""

from __future__ import annotations

import re

from deployments.text.english.numbers import cardinal, ordinal, plural, whole
from deployments.text.rules import Match, rule

FRACTION = r"(?:(\d{1,4})[\x20-])?(\d{1,4})/(\d{1,4})"
SLASHED = r"\d{1,4}(?:[ -]\d|/\d)"  # the shape of a fraction
_RATED = re.compile(
    r"\b(?:out|scored?|rating|rated?|grade|gave|stars?|episodes?|pages?|level|got|blood pressure|bp|vision|it)\b",
    re.IGNORECASE,
)


def fraction(numerator: int, denominator: int) -> str:
    """3, 4 -> three quarters"""
    if denominator == 2:
        return f"{cardinal(numerator)} {'half' if numerator == 1 else 'halves'}"
    part = "quarter" if denominator == 4 else ordinal(denominator)
    return f"{cardinal(numerator)} {part if numerator == 1 else plural(part)}"


def mixed(units: str | None, top: int, bottom: int) -> str | None:
    """2, 3, 4 -> two and three quarters; None for any other number."""
    if not (0 < top < bottom and (2 <= bottom <= 20 or bottom in (32, 64, 100, 1000))):
        return None
    spoken = fraction(top, bottom)
    if units and top == 1 and bottom in (2, 4):
        spoken = f"a {spoken.split()[1]}"
    return f"{whole(units)} and {spoken}" if units else spoken


@rule(rf"{FRACTION}(?![\d/A-Za-z])", when=SLASHED)
def ratio(m: Match) -> str | None:
    """1/2, 2 3/4, 24/7, 120/80"""
    top, bottom = int(m[2]), int(m[3])
    if m[1] is None and (m[2], m[3]) in {("24", "7"), ("9", "11"), ("50", "50"), ("20", "20"), ("7", "7")}:
        return f"{cardinal(top)} {cardinal(bottom)}"
    before = m.string[max(0, m.start() - 40) : m.start()]
    stars = m.string.startswith(" star", m.end())
    if m[1] is None and (
        m[2] == m[3] or stars or (bottom in (5, 10, 100) and top > 1 and _RATED.search(before))
    ):
        return f"{whole(m[2])} out of {whole(m[3])}"
    if bottom <= 100 and m[2][0] != "0" and m[3][0] != "0" and (spoken := mixed(m[1], top, bottom)):
        return spoken
    if m[1]:
        return None
    return parted(top, m[2], m[3])


def parted(top: int, left: str, right: str) -> str:
    """120/80, a blood pressure, is over; other pairs have a slash."""
    over = 60 <= top <= 260 and 30 <= int(right) <= 150 and top > int(right)
    return f"{whole(left)} {'over' if over else 'slash'} {whole(right)}"
