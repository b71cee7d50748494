"""Numbers as other countries write them, turned to the English form: 1 000 000, 1.000.000, 1'000, 3,50 €."""

from __future__ import annotations

import re

from deployments.text.english.money import SIGNS
from deployments.text.english.nouns import is_counted
from deployments.text.english.units import UNIT
from deployments.text.rewritten import Rewritten

_CURRENCY = rf"(?:[{SIGNS}%]|(?:EUR|USD|GBP|CHF|SEK|NOK|DKK|PLN|CZK|HUF|RUB|BRL|kr|zl)(?![A-Za-z]))"
_GROUPED = re.compile(
    r"(?P<first>[1-9](?<![\d.,'/+:-].)(?<![\d)] .)\d{0,2})"
    r"(?P<groups>(?:(?P<sign>[ .'])\d{3}(?!\d))(?:(?P=sign)\d{3}(?!\d)){0,5})"
    r"(?:,(?P<part>\d{1,2})(?![\d,]))?(?!(?P=sign)?\d|-\d)"
)
_DECIMAL = re.compile(r"\d(?<![\d.,].)\d{0,2},\d{1,2}(?![\d,])")
_AMOUNT_BEHIND = re.compile(rf"\s?(?:{_CURRENCY}|{UNIT}(?![A-Za-z0-9])|million|billion)")
_CURRENCY_BEFORE = re.compile(rf"{_CURRENCY}\s?$")
_CURRENCY_BEHIND = re.compile(rf"\s?{_CURRENCY}")
_CALL_BEFORE = re.compile(
    r"(?:call|dial|ring|phone|tel|fax|text|mobile|code|number|pin)[a-z]*[.:]? *$", re.IGNORECASE
)


def english(text: Rewritten) -> Rewritten:
    """`text` with commas between thousands and points before decimals, where that is what stands there."""
    return text.sub(_GROUPED, _grouped).sub(_DECIMAL, _decimal)


def _decimal(m: re.Match[str]) -> str | None:
    euros = m.string[m.start() - 1 : m.start()] == "€"
    return m[0].replace(",", ".") if euros or _AMOUNT_BEHIND.match(m.string, m.end()) else None


def _grouped(m: re.Match[str]) -> str | None:
    groups = m["groups"].replace(m["sign"], ",")
    amount = m["first"] + groups + (f".{m['part']}" if m["part"] else "")
    before, end = m.string[max(0, m.start() - 24) : m.start()], m.end()
    money = bool(_CURRENCY_BEFORE.search(before)) or bool(_CURRENCY_BEHIND.match(m.string, end))
    count = groups.count(",")
    if (
        m["sign"] == "'"
        or m["part"]
        or (money and (m["sign"] == " " or not before.rstrip().endswith(("$", "£"))))
    ):
        return amount
    if m["sign"] == ".":
        parts = [m["first"], *groups[1:].split(",")]
        return amount if count > 1 and not (count == 3 and all(int(part) < 256 for part in parts)) else None
    if _CALL_BEFORE.search(before) or before.rstrip()[-1:].isdigit():
        return None
    counted = bool(_AMOUNT_BEHIND.match(m.string, end)) or is_counted(m.string, end)
    small = len(m["first"]) < 3
    return amount if ",000" in groups or counted or (small and count > 1) else None
