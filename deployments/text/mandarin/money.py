"""Amounts of money: the sign or the code of the currency before or behind the number."""

from __future__ import annotations

import re

from deployments.text.mandarin.numerals import NUMBER, amount, number
from deployments.text.mandarin.pinyin import HANZI
from deployments.text.mandarin.units import CURRENCIES, CURRENCY, UNIT, unit
from deployments.text.rules import Match, rule

SCALE = r"(?:[ ]?(?:百万|千万|万亿|[百千万亿]|k(?![A-Za-z])))"
_CURRENCY_INITIALS = re.escape("".join({name[0] for name in CURRENCIES}))
TO = r"[ ]?[-~–—][ ]?"


@rule(
    rf"(?P<minus>-)?(?P<currency>{CURRENCY})[ ]?(?P<n>{NUMBER})"
    rf"(?:{TO}(?:{CURRENCY})?(?P<last>{NUMBER}))?(?P<scale>{SCALE})?(?:[ ]?元)?"
    rf"(?:/(?:(?P<each>(?=[{HANZI}]))|(?P<per>{UNIT})))?",
    when=r"\D",
)
def money(m: Match) -> str:
    """¥3.5万, $5-10, USD 100, ¥99/月"""
    said, name = number(m["n"]), CURRENCIES[m["currency"]]
    scale = _scale(m)
    if m["last"]:
        said += "到" + number(m["last"])
    elif not scale:
        said = amount(m["n"], True)
    return "负" * bool(m["minus"]) + said + scale + name + _each(m)


@rule(
    rf"(?P<n>{NUMBER})(?P<scale>{SCALE})?[ ]?(?P<currency>{CURRENCY})(?![A-Za-z\d])",
    when=rf"[\d.,]*\d ?[{_CURRENCY_INITIALS}百千万亿k]",
)
def money_behind(m: Match) -> str | None:
    """100 USD, 5万RMB"""
    return (
        None
        if m["currency"] == "$"
        else amount(m["n"], not m["scale"]) + _scale(m) + CURRENCIES[m["currency"]]
    )


def _each(m: Match) -> str:
    return "每" + (unit(m["per"]) if m["per"] else "") if m["per"] or m["each"] is not None else ""


def _scale(m: Match) -> str:
    return {"k": "千", None: ""}.get(m["scale"] and m["scale"].strip(), (m["scale"] or "").strip())
