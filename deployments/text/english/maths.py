"""Powers, indices and charges, as super- and subscripts write them."""

from __future__ import annotations

import re

from deployments.text.english.numbers import NUMBER, cardinal, decimal, ordinal
from deployments.text.rewritten import Rewritten
from deployments.text.rules import Match, Rule, rule

SUPERSCRIPTS, SUBSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "₀₁₂₃₄₅₆₇₈₉₊₋ₙ"
_PLAIN_DIGITS = str.maketrans(SUPERSCRIPTS + SUBSCRIPTS, "0123456789+-n" * 2)
_POWER = r"([⁺⁻]?(?:[⁰¹²³⁴-⁹]{1,9}|ⁿ))(?![⁺⁻])"
_INDEX = re.compile(r"(?P<log>\b(?:log|lg))?(?P<index>[₀-₉₊₋ₙ]{1,9})(?P<after>[A-Za-z0-9 (])?")
_CHARGE = re.compile(r"([⁰¹²³⁴-⁹]{0,2})([⁺⁻])(?![⁰¹²³⁴-⁹ⁿ])")
_RAISED = re.compile(_POWER)
_NOTE_BEFORE = re.compile(r"(?:[a-z]{4}|[a-z][.,;:!?]|[.,;:!?][\"')])$")


def power(raised: str) -> str:
    """² -> squared, ⁻³ -> to the minus three, ⁸ -> to the eighth."""
    plain = raised.translate(_PLAIN_DIGITS)
    if plain in ("2", "3"):
        return "squared" if plain == "2" else "cubed"
    if plain.lstrip("+-") == "n":
        return "to the N" if plain == "n" else "to the minus N"
    if plain.startswith("-"):
        return f"to the minus {cardinal(int(plain[1:]))}"
    value = int(plain.lstrip("+"))
    return f"to the {ordinal(value)}"


@rule(rf"({NUMBER})\s?[x×*·]\s?10(?:{_POWER}|\^(-?\d{{1,9}}))(?!\d)", when=r"[\d.,]*\d\s?[x×*·]")
def power_of_ten(m: Match) -> str | None:
    """6.02×10²³"""
    if m[2]:
        return f"{decimal(m[1])} times ten {power(m[2])}"
    value = int(m[3])
    spoken = f"minus {cardinal(-value)}" if value < 0 else ordinal(value)
    return f"{decimal(m[1])} times ten to the {spoken}"


@rule(rf"({NUMBER}){_POWER}", when=r"[\d.,]*\d[⁺⁻⁰¹²³⁴-⁹ⁿ]")
def raised_number(m: Match) -> str | None:
    """10⁻³, 2⁸"""
    return f"{decimal(m[1])} {power(m[2])}"


@rule(r"((?:[A-Z][a-z]?\d{0,3}){1,8})([⁰¹²³⁴-⁹]{0,2})([⁺⁻])(?![⁰¹²³⁴-⁹ⁿ])")
def ion(m: Match) -> str | None:
    """SO4²⁻, Na⁺"""
    letters_and_digits = re.findall(r"[A-Za-z]|\d+", m[1])
    spoken = [cardinal(int(part)) if part.isdigit() else part.upper() for part in letters_and_digits]
    if m[2]:
        spoken.append(cardinal(int(m[2].translate(_PLAIN_DIGITS))))
    return " ".join([*spoken, "plus" if m[3] == "⁺" else "minus"])


def raised(text: str, at: int) -> tuple[str, int]:
    """What is said for the superscripts at `at`, behind anything but a number; "" for the mark of a footnote."""
    if m := _CHARGE.match(text, at):
        sign = "plus" if m[2] == "⁺" else "minus"
        return (f"{cardinal(int(m[1].translate(_PLAIN_DIGITS)))} {sign}" if m[1] else sign), m.end()
    m = _RAISED.match(text, at)
    if not m:
        return "", at + 1
    if m[1].isdigit() and text[m.end() : m.end() + 1].isupper():  # ¹⁴C
        return cardinal(int(m[1].translate(_PLAIN_DIGITS))), m.end()
    note = _NOTE_BEFORE.search(text, max(0, at - 6), at) or not text[max(0, at - 1) : at].strip()
    if note and m[1][0] not in "⁺⁻":
        return "", m.end()
    return power(m[1]), m.end()


def lowered(text: Rewritten) -> Rewritten:
    """`text` with subscripts as ordinary digits: H₂O -> H2O, 101₂ -> 101 base 2, log₂ 8 -> log base 2 8."""
    return text if text.text.isascii() else text.sub(_INDEX, _lowered)


def _lowered(m: Match) -> str:
    index, before = m["index"].translate(_PLAIN_DIGITS), m.string[m.start() - 1 : m.start()]
    after = m["after"] or ""
    if m["log"]:
        return f"{m['log']} base {index} of {after.strip()}"
    if before.isdecimal():
        return f" base {index}{after if after.strip() == '' else ' ' + after}"
    return index + after


RULES: tuple[Rule, ...] = (power_of_ten, raised_number)
WORD_RULES: tuple[Rule, ...] = (ion,)
