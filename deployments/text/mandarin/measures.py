"""Numbers with a unit: percentages, measures, powers, heights."""

from __future__ import annotations

import re

from deployments.text.mandarin.money import TO
from deployments.text.mandarin.numerals import (
    NUMBER,
    amount,
    before,
    cardinal,
    counts,
    fraction,
    number,
    value,
    year,
)
from deployments.text.mandarin.pinyin import HANZI
from deployments.text.mandarin.units import UNIT, UNIT_INITIALS, unit
from deployments.text.rules import Match, rule

MINUS_BEFORE = re.compile(
    r"(?:^|[ (=<>≥≤≈,×÷*/:\[~+\"']|[是为到至温低约在达从和降跌值数差零拔润额率长]|温度)$"
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻₀₁₂₃₄₅₆₇₈₉", "0123456789+-0123456789")
_INITIALS = re.escape(UNIT_INITIALS)
_POWER = r"(?:[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3}|\^\(?-?\d{1,3}\)?)"


@rule(
    rf"(?P<sign>[+-]?)(?P<n>{NUMBER})(?:%?{TO}(?P<last>[+-]?{NUMBER}))?[ ]?(?P<name>%|‰|per[ ]mille)(?!\d)",
    when=r"[+-]|[\d.,]*\d ?[%‰p~–—-]",
)
def percent(m: Match) -> str | None:
    """5.2%, -3%, 50%-60%, 3‰"""
    if m["sign"] == "-" and re.search(r"[\d%]$", before(m, 1)):
        return None
    name = "百分之" if m["name"] == "%" else "千分之"
    sign = {"+": "正", "-": "负", "": ""}[m["sign"]]
    said = sign + name + (number(m["n"]) if m["n"] != "100" or name == "千分之" else "百")
    if m["last"]:
        second = m["last"].lstrip("+-")
        said += "到" + "负" * (m["last"][0] == "-") + name + (number(second) if second != "100" else "百")
    return said


@rule(
    rf"(?P<sign>[+-]?)(?P<first>{NUMBER})(?P<unit>[ ]?{UNIT})?(?P<between>{TO}|±|[ ]±[ ]|"
    rf"[ ]?[×x*X][ ]?)(?P<minus>-?)(?P<last>{NUMBER})"
    rf"(?:(?P<more>[ ]?[×x*X][ ]?)(?P<third>{NUMBER}))?[ ]?(?P<name>{UNIT})(?P<each>/(?=[{HANZI}]))?",
    when=rf"[+-]|[\d.,]*\d ?[{_INITIALS}~–—±×x*X-]",
)
def measures(m: Match) -> str | None:
    """20-25℃, 3m×4m, 5±0.2mm"""
    between = m["between"].strip()
    if (m["sign"] == "-" and not MINUS_BEFORE.search(before(m, 2))) or _name(m) is None:
        return None
    joint = "正负" if between == "±" else "乘" if between in "×x*X" else "到"
    own = unit(m["unit"].strip()) if m["unit"] else ""
    said = _signed(m["sign"], bool(own)) + amount(m["first"], bool(own) or joint == "到") + own + joint
    said += "负" * bool(m["minus"]) + amount(m["last"], not m["third"])
    if m["third"]:
        said += (own or "") + "乘" + number(m["third"])
    return said + unit(m["name"]) + "每" * bool(m["each"])


@rule(
    rf"(?P<sign>[+-]?)(?P<n>{NUMBER})(?:/(?P<below>\d{{1,3}}))?[ ]?(?P<name>{UNIT})(?P<each>/(?=[{HANZI}]))?",
    when=rf"[+-]|[\d.,]*\d ?[{_INITIALS}/]",
)
def measure(m: Match) -> str | None:
    """5kg, -5℃, 5.6mmol/L, 120/80mmHg"""
    name = _name(m)
    if re.search("[A-Za-z]$", before(m, 1)):  # A6L
        return None
    if name is None or (m["sign"] == "-" and not MINUS_BEFORE.search(before(m, 2))):
        return None
    if m["below"]:
        pressure = value(m["n"]) > value(m["below"])
        said = f"{number(m['n'])}比{number(m['below'])}" if pressure else fraction(m["n"], m["below"])
        return said + name
    return _signed(m["sign"], True) + amount(m["n"], True) + name + "每" * bool(m["each"])


def _name(m: Match) -> str | None:
    """The name of the unit; None if its letter is part of another word."""
    if m["name"] in ("V", "W", "T", "h", "t", "s", "m", "g", "L", "l", "v", "w") and re.match(
        "[A-Za-z]", m.string[m.end() :][:1]
    ):
        return None
    return unit(m["name"])


def _signed(sign: str, positive: bool) -> str:
    return {"-": "负", "+": "正" if positive else "加", "": ""}[sign]


@rule(
    rf"(?P<n>{NUMBER})(?P<power>{_POWER})(?:/(?P<below>m?L|[mcd]m³)(?![A-Za-z])|[ ]?(?P<name>{UNIT}))?",
    when=r"[\d.,]*\d[⁺⁻⁰¹²³⁴-⁹^]",
)
def power(m: Match) -> str:
    """2³, 10^-3, 10^9/L"""
    return (
        number(m["n"])
        + "的"
        + _exponent(m["power"])
        + ("每" + unit(m["below"]) if m["below"] else unit(m["name"]) if m["name"] else "")
    )


@rule(
    r"(?P<charge>[⁰¹²³⁴⁵⁶⁷⁸⁹]?[⁺⁻])(?![⁰¹²³⁴⁵⁶⁷⁸⁹])|[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3}|[₀₁₂₃₄₅₆₇₈₉]{1,6}",
    when=r"[⁺⁻⁰¹²³⁴-⁹₀-₉]",
)
def raised(m: Match) -> str:
    """After letters: x², CO₂, Ca²⁺"""
    if m["charge"]:
        row = m["charge"].translate(_RAISED)
        return (number(row[:-1]) if row[:-1] else "") + ("正" if row[-1] == "+" else "负")
    return number(m[0].translate(_RAISED)) if m[0][0] in "₀₁₂₃₄₅₆₇₈₉" else "的" + _exponent(m[0])


def _exponent(power: str) -> str:
    row = power.translate(_RAISED).strip("^()")
    return "平方" if row == "2" else "负" * (row[0] == "-") + cardinal(row.lstrip("+-")) + "次方"


@rule(rf"/(?P<name>{UNIT})", when=r"/")
def per_unit(m: Match) -> str | None:
    """5元/km"""
    return "每" + unit(m["name"]) if re.search(rf"\d ?[{HANZI}]{{1,4}}$", before(m, 6)) else None


@rule(r"(?<=\d米)\d{1,2}(?![\d.]|[ ]?[A-Za-z])", when=r"\d\d?(?![\d.])")
def height(m: Match) -> str | None:
    """1米75"""
    return None if counts(m.string, m.end()) else year(m[0])
