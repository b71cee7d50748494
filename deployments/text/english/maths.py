"""Powers, indices and charges, as super- and subscripts write them."""

from __future__ import annotations

import re

from deployments.text.characters import GREEK
from deployments.text.english.numbers import NUMBER, cardinal, decimal, ordinal
from deployments.text.rewritten import Rewritten
from deployments.text.rules import Match, Rule, rule

SUPERSCRIPTS, SUBSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿˣ", "₀₁₂₃₄₅₆₇₈₉₊₋ₙ"
_PLAIN_DIGITS = str.maketrans(SUPERSCRIPTS + SUBSCRIPTS, "0123456789+-nx0123456789+-n")
_POWER = r"([⁺⁻]?(?:[⁰¹²³⁴-⁹]{1,9}|[ⁿˣ]))(?![⁺⁻])"
_INDEX = re.compile(r"(?P<log>\b(?:log|lg))?(?P<index>[₀-₉₊₋ₙ]{1,9})(?P<after>[A-Za-z0-9 (])?")
_CHARGE = re.compile(r"([⁰¹²³⁴-⁹]{0,2})([⁺⁻])(?![⁰¹²³⁴-⁹ⁿˣ])")
_RAISED = re.compile(_POWER)
_GREEK_BEFORE = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(GREEK)})$")
_NOTE_BEFORE = re.compile(r"(?:[a-z]{4}|[a-z][.,;:!?]|[.,;:!?][\"')])$")


def power(raised: str) -> str:
    """² -> squared, ⁻³ -> to the minus three, ⁸ -> to the eighth."""
    plain = raised.translate(_PLAIN_DIGITS)
    if plain in ("2", "3"):
        return "squared" if plain == "2" else "cubed"
    if (letter := plain.lstrip("+-")) in ("n", "x"):
        return f"to the {'' if plain == letter else 'minus '}{letter.upper()}"
    if plain.startswith("-"):
        return f"to the minus {cardinal(int(plain[1:]))}"
    value = int(plain.lstrip("+"))
    return f"to the {ordinal(value)}"


SCIENTIFIC = rf"(?:({NUMBER})\s?[x×*·]\s?10(?:{_POWER}|\^(-?\d{{1,9}}))(?!\d)|({NUMBER}){_POWER})"
SCIENTIFIC_SHAPE = r"[\d.,]*\d(?:\s?[x×*·]|[⁺⁻⁰¹²³⁴-⁹ⁿ])"


def scientific(m: Match) -> str:
    """What is said for a match of SCIENTIFIC, the first groups of the pattern: 6.02×10²³, 10⁻³, 2⁸."""
    if m[4]:
        return f"{decimal(m[4])} {power(m[5])}"
    if m[2]:
        return f"{decimal(m[1])} times ten {power(m[2])}"
    value = int(m[3])
    spoken = f"minus {cardinal(-value)}" if value < 0 else ordinal(value)
    return f"{decimal(m[1])} times ten to the {spoken}"


@rule(SCIENTIFIC, when=SCIENTIFIC_SHAPE)
def raised_number(m: Match) -> str | None:
    return scientific(m)


@rule(r"(\d{1,4})!(?=\s?[-=+/*×÷)^])", when=r"\d{1,4}!")
def factorial(m: Match) -> str:
    """5! = 120"""
    return f"{cardinal(int(m[1]))} factorial"


@rule(r"([A-Zb-z])\((?=([a-zA-Z]|\d{1,3}|[a-z]\s?[-+−*/]\s?\w|[a-z],\s?[a-z]|n²|log n|n log n)\))")
def function(m: Match) -> str:
    """f(x), P(A), O(n)"""
    return f"{m[1].upper()} of"


@rule(r"((?:[A-Z][a-z]?\d{0,3}){1,8})([⁰¹²³⁴-⁹]{0,2})([⁺⁻])(?![⁰¹²³⁴-⁹ⁿˣ])")
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
    if note and not _GREEK_BEFORE.search(text, max(0, at - 9), at) and m[1][0] not in "⁺⁻":
        return "", m.end()
    return power(m[1]), m.end()


def lowered(text: Rewritten) -> Rewritten:
    """`text` with subscripts as ordinary digits: H₂O -> H2O, 101₂ -> 101 base 2, log₂ 8 -> log base 2 8."""
    return text if text.text.isascii() else text.sub(_INDEX, _lowered)


def _lowered(m: Match) -> str:
    index, before = m["index"].translate(_PLAIN_DIGITS), m.string[m.start() - 1 : m.start()]
    after = m["after"] or ""
    if "n" in index or index[0] in "+-":  # aₙ₋₁
        return (
            " "
            + index.replace("-", " minus ").replace("+", " plus ")
            + (f" {after}" if after.isalnum() else after)
        )
    if m["log"]:
        return f"{m['log']} base {index} of {after.strip()}"
    if before.isdecimal():
        return f" base {index}{after if after.strip() == '' else ' ' + after}"
    return index + after


RULES: tuple[Rule, ...] = (raised_number, factorial)
LETTER_RULES: tuple[Rule, ...] = (function,)
WORD_RULES: tuple[Rule, ...] = (ion,)
