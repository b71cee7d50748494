"""Roman numerals, where they stand for numbers: Chapter IV, Henry VIII, World War II, page xii."""

from __future__ import annotations

import re

from deployments.text.english.numbers import cardinal, ordinal, year
from deployments.text.english.vocabulary import MONARCHS, NUMBERED

_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_NUMERAL = re.compile(r"(?:[IVXLCDM]{1,15}|[ivxl]{1,9})(?![A-Za-z0-9])")
_MORE = re.compile(
    r"(?:(?P<to>\s?[-–]\s?|\sto\s)|(?P<and>,?\s(?:and|&|or)\s|,\s))(?P<numeral>[IVXLivxl]{1,9})(?![A-Za-z0-9'])"
)
_PART = re.compile(r"[.-]?\(?([A-Z]|[a-h])\)?(?![A-Za-z0-9'])|\.(\d{1,3})(?![\d.])")
_CENTURY = re.compile(r"([IVX]{1,6})(?:th|st|nd|rd)?(?=[\s-](?:century|centuries)\b)")
_ITEM = re.compile(r"([IVX]{1,6}|i{1,3}|iv|vi{0,3}|ix|xi{0,3})[.)](?=\s)")
_ENCLOSED = re.compile(r"(?<=\()(?<![A-Za-z0-9)]\()[ivx]{1,5}(?=\))")
_LIST = re.compile(
    r"[IVX]{1,5}(?:,\s[IVX]{2,5}|,\sV\b){1,9}(?:,?\s(?P<joint>and|or)\s[IVX]{1,5})?(?![A-Za-z0-9'])"
)
_YEAR = re.compile(r"(?:MM|MCM|MDC)[IVXLC]{0,11}")
_RULER = re.compile(
    r"\b(?:King|Queen|Pope|Emperor|Empress|Tsar|Czar|Prince|Princess|Sultan|Shah|Pharaoh|Kaiser|Duke|Earl|Patriarch|Saint|St\.?)"
    r"(?:\s[A-Z][a-z]+){1,2}\s$"
)
# What Elizabeth I did, not what the writer does.
_RULED = re.compile(
    r"\s(?:was|is|had|has|became|began|won|lost|came|went|made|gave|took|led|built|fell|[a-z]{2,12}ed|in|at|by|who|whose)\b"
)
_DRIP = re.compile(
    r"\s(?:drips?|fluids?|antibiotics?|lines?|bags?|push|therapy|infusions?|access|catheter|iron|doses?|meds?|medication)\b"
)
_NO_NAMES = frozenset(
    "the an a and by my for in on or of to at with give start begin his her your our i if".split()
)


def roman(text: str) -> int | None:
    """The value of an upper-case Roman numeral in its canonical form, below 4000; None for anything else."""
    if not text or len(text) > 15 or not set(text) <= _VALUES.keys():
        return None
    values = [_VALUES[c] for c in text]
    total = sum(v if v >= max(values[i:]) else -v for i, v in enumerate(values))
    return total if 0 < total < 4000 and _to_roman(total) == text else None


def _to_roman(value: int) -> str:
    out = ""
    for size, sign in (
        (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
        (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
    ):  # fmt: skip
        count, value = divmod(value, size)
        out += sign * count
    return out


def numeral(text: str, at: int, before: list[str]) -> tuple[str, int] | None:
    """What is said for the numeral at `at`, and where it ends. before: the words so far, as they are written."""
    if m := _CENTURY.match(text, at):
        value = roman(m[1])
        return (ordinal(value), m.end()) if value else None
    if m := _ENCLOSED.match(text, at):
        value = roman(m[0].upper())
        return (cardinal(value), m.end()) if value else None
    if not before and (m := _ITEM.match(text, at)):
        value = roman(m[1].upper())
        return (cardinal(value), m.end(1)) if value and m[1] != "I" else None
    if m := _LIST.match(text, at):
        values = [roman(part) for part in re.findall(r"[IVX]+", m[0])]
        if None not in values and values == sorted(set(values)) and len(values) > 1:  # type: ignore[type-var]
            names = [cardinal(value) for value in values if value]
            joint = f" {m['joint']} " if m["joint"] else " , "
            return " , ".join(names[:-1]) + joint + names[-1], m.end()
    m = _NUMERAL.match(text, at)
    value = roman(m[0].upper()) if m else None
    if not m or not value:
        return None
    word, end = m[0], m.end()
    if _YEAR.fullmatch(word) and len(word) > 3:
        return year(value), end
    if not before:
        return None
    return _named(text, at, word, value, end, before)


def _named(text: str, at: int, word: str, value: int, end: int, before: list[str]) -> tuple[str, int] | None:
    previous = before[-1].lower().removesuffix("'s")
    singular = previous.rstrip(".").removesuffix("s") if previous not in ("class", "series") else previous
    single = len(word) == 1
    if singular in NUMBERED and set(word.upper()) <= set("IVXL"):
        if single and (
            word in "lL" or word.islower() and singular not in ("page", "p", "pp", "scene", "act")
        ):
            return None
        if word == "I" and not before[-1][0].isupper():
            return None
        return _counted(text, value, end)
    if word.islower() or not set(word) <= set("IVXL"):
        return None
    name = before[-1][:1].isupper() and previous not in _NO_NAMES
    alone = text[end : end + 1] in ("", ",", ".", ";", ":", "'", ")", "?", "!") or text.startswith(
        (" of", " and"), end
    )
    ruler = bool(_RULER.search(text, max(0, at - 40), at))
    if (
        (previous in MONARCHS or ruler)
        and name
        and (
            not single
            or alone
            or (ruler and word != "I")
            or ((ruler or len(before) == 1) and _RULED.match(text, end))
        )
    ):
        if word == "X" and previous == "malcolm":
            return None
        return f"the {ordinal(value)}" + (
            "'s" if text.startswith("'s", end) else ""
        ), end + 2 * text.startswith("'s", end)
    if single or not name or "L" in word and previous != "bowl" or (word == "IV" and _DRIP.match(text, end)):
        return None
    if word in ("XX", "XL", "LI", "LL"):
        return None
    if (
        word in ("II", "III", "IV") and len(before) > 1 and before[-2].lower() in MONARCHS
    ):  # William Gates III
        return f"the {ordinal(value)}", end
    return _counted(text, value, end)


def _counted(text: str, value: int, end: int) -> tuple[str, int]:
    spoken = [cardinal(value)]
    if m := _PART.match(text, end):  # IV.B
        return f"{spoken[0]} {m[1].upper() if m[1] else cardinal(int(m[2]))}", m.end()
    while (m := _MORE.match(text, end)) and (more := roman(m["numeral"].upper())) and m["numeral"] != "I":
        spoken += [
            "to" if m["to"] else "and" if m["and"].strip() not in (",", "or") else m["and"].strip(),
            cardinal(more),
        ]
        end = m.end()
    return " ".join(spoken), end
