"""English text as it is read aloud, by the published system's rules, their flaws included.

Known flaws: signs between words are deleted without a blank ("fast,slow" in wide marks becomes one word), and a
clock time always has a.m. or p.m. This project's own rules read better; these are for texts that must sound as there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from deployments.text.english import numbers

_MARKS = str.maketrans("。！？", ".!?")
_UNITS = {
    "m": "meter", "km": "kilometer", "km/h": "kilometer per hour", "ft": "foot", "L": "liter", "tbsp": "tablespoon",
    "tsp": "teaspoon", "h": "hour", "min": "minute", "s": "second", "°C": "degree celsius", "°F": "degree fahrenheit",
}  # fmt: skip
_PLURALS = {
    "foot": "feet", "kilometer per hour": "kilometers per hour", "degree celsius": "degrees celsius",
    "degree fahrenheit": "degrees fahrenheit",
}  # fmt: skip
_OPERATORS = {"+": "plus", "-": "minus", "*": "times", "×": "times", "x": "times", "/": "divided by", "÷": "divided by",
              "=": "equals", "<": "less than", ">": "greater than"}  # fmt: skip
_CURRENCIES = {"$": ("dollar", "cent", "cents"), "£": ("pound", "penny", "pence")}
_PARTS = {2: "half", 3: "third", 4: "quarter"}
_UNREAD = re.compile(r"[^ A-Za-z'.,?!-]")
_INNER_CAPITAL = re.compile(r"(?<=[^\s])(?=[A-Z])")
_RUN = re.compile(r"([!?…,.\-])[!?…,.\-]+")
_TENS = re.compile(rf"\b({'|'.join(numbers.TENS[2:])}) ({'|'.join(numbers.ONES[1:10])})\b")
_AMOUNT = r"\d+(?:\.\d+)?"


def normalise(text: str) -> str:
    """Letters, blanks and the marks `'.,?!-`: "It's $3.50 at 9:30." -> "It's three dollars and fifty cents at …"."""
    text = text.translate(_MARKS)
    for pattern, say in _RULES:
        text = pattern.sub(say, text)
    text = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    text = _UNREAD.sub("", text.replace("%", " percent"))
    text = re.sub(r"(?i)\bi\.e\.", "that is", text)
    text = re.sub(r"(?i)\be\.g\.", "for example", text)
    return _RUN.sub(r"\1", _INNER_CAPITAL.sub(" ", text))


def _hyphened(words: str) -> str:
    return _TENS.sub(r"\1-\2", words)


def _cardinal(written: str) -> str:
    return _hyphened(numbers.cardinal(int(written)))


def _ordinal(value: int) -> str:
    *head, last = numbers.ordinal(value).split()
    if head and head[-1] in numbers.TENS:
        return " ".join([*head[:-1], f"{head[-1]}-{last}"])
    return " ".join([*head, last])


def _spoken(written: str) -> str:
    """3 -> three, 3.14 -> three point one four."""
    whole, _, decimals = written.partition(".")
    return _cardinal(whole or "0") + (" point " + numbers.digits(decimals) if decimals else "")


def _clock(m: re.Match[str]) -> str:
    hour, minute = int(m[1]), m[2]
    said = [numbers.cardinal(hour if hour < 13 else hour - 12)]
    if int(minute):
        said.append(("oh " if minute[0] == "0" else "") + _cardinal(minute))
    elif hour != 12:
        said.append("o'clock")
    return " ".join([*said, "a.m." if hour < 12 else "p.m."])


def _measure(m: re.Match[str]) -> str:
    name = _UNITS[m[2]]
    return f"{_spoken(m[1])} {name if m[1] == '1' else _PLURALS.get(name, name + 's')}"


def _money(m: re.Match[str]) -> str:
    unit, part, parts = _CURRENCIES[m["sign"]]
    whole, _, decimals = m["amount"].partition(".")
    rest = int((decimals + "0")[:2]) if decimals else 0
    said = [f"{_cardinal(whole)} {unit if int(whole) == 1 else unit + 's'}"] if int(whole) or not rest else []
    said += [f"{_cardinal(str(rest))} {part if rest == 1 else parts}"] if rest else []
    return " and ".join(said)


def _fraction(m: re.Match[str]) -> str:
    above, below = int(m[1]), int(m[2])
    if not below:
        return f"{_cardinal(m[1])} over zero"
    name = _PARTS.get(below) or _ordinal(below)
    many = "halves" if below == 2 else name + "s"
    return f"{_cardinal(m[1])} {name if above == 1 else many}"


def _year(m: re.Match[str]) -> str:
    value = int(m[0])
    century, rest = divmod(value, 100)
    if not 1000 <= value <= 3000 or value == 2000 or 2000 < value < 2010:
        return _cardinal(m[0])
    if not rest:
        return f"{_cardinal(str(century))} hundred" if century % 10 else _cardinal(m[0])
    return f"{_cardinal(str(century))} {'oh ' if rest < 10 else ''}{_cardinal(str(rest))}"


def _calculated(m: re.Match[str]) -> str:
    return f" {_OPERATORS[m[1]]} "


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), say)
    for pattern, say in (
        (r"(?:(?<=^)|(?<=\n))(\d{1,3})\. ", lambda m: _ordinal(int(m[1])) + ", "),
        (r"(?<=\d) ([-+*×x/÷=<>]) (?=\d)", _calculated),
        (r"(?<= )-(?=\d)|^-(?=\d)", lambda m: "negative "),
        (r"(?<=\d),(?=\d{3}(?!\d))", lambda m: ""),
        (r"\b([01]?\d|2[0-3]):([0-5]\d)\b", _clock),
        (rf"\b({_AMOUNT}) ?(km/h|km|tbsp|tsp|min|ft|°C|°F|m|L|h|s)\b(?!')", _measure),
        (rf"(?P<sign>[$£])(?P<amount>{_AMOUNT})", _money),
        (rf"(?P<amount>{_AMOUNT})(?P<sign>[$£])", _money),
        (r"\d+\.\d+", lambda m: _spoken(m[0])),
        (r"\b(\d{1,3})/(\d{1,3})\b", _fraction),
        (r"\b(\d+)(?:st|nd|rd|th)\b", lambda m: _ordinal(int(m[1][:18]))),
        (r"(?<!\d)\d{4}(?!\d)", _year),
        (r"\d{1,18}", lambda m: _cardinal(m[0])),
    )
)
