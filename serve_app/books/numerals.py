"""The numbers of chapters: digits, Roman numerals, English words and Chinese numerals."""

from __future__ import annotations

import re
from functools import cache

_ONES = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_IRREGULAR = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12}
_ROMAN = re.compile(r"(?=[ivxlcdm])m{0,3}(?:cm|cd|d?c{0,3})(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})")
_LETTERS = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100, "d": 500, "m": 1000}
_DIGITS = "零〇 一壹 二贰貳两兩 三叁參 四肆 五伍 六陆陸 七柒 八捌 九玖".split()
_HANZI = {c: i for i, digits in enumerate(_DIGITS) for c in digits}
_UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000, "廿": 20, "卅": 30}
HANZI_NUMBER = f"[{''.join((*_HANZI, *_UNITS))}0-9０-９]{{1,12}}"
_LAST = "|".join((*_ONES[:9], *"first second third fourth fifth sixth seventh eighth ninth".split()))
NUMBER = rf"(?:\d{{1,6}}|[ivxlcdm]{{1,12}}|[a-z]{{3,12}}(?:[- ](?:{_LAST}))?)"


def number_of(text: str) -> int | None:
    """The number that `text` is, in any case; None if it is not one."""
    text = text.strip().lower()
    if text.isdecimal():
        return int(text) if len(text) <= 6 else None
    if _ROMAN.fullmatch(text):
        values = [_LETTERS[c] for c in text]
        return sum(-v if v < max(values[i + 1 :], default=0) else v for i, v in enumerate(values))
    if text and all(c in _HANZI or c in _UNITS for c in text):
        return _hanzi(text)
    return _words().get(text.replace(" ", "-"))


def _hanzi(text: str) -> int:
    if not any(c in _UNITS for c in text):
        return int("".join(str(_HANZI[c]) for c in text))
    total = digit = 0
    for c in text:
        if c in _HANZI:
            digit = _HANZI[c]
        elif _UNITS[c] in (20, 30):
            total += _UNITS[c]
        else:
            total += (digit or 1) * _UNITS[c]
            digit = 0
    return total + digit


@cache
def _words() -> dict[str, int]:
    """One to ninety-nine, cardinal and ordinal."""
    cardinals = {word: i + 1 for i, word in enumerate(_ONES)}
    for i, ten in enumerate(_TENS):
        cardinals[ten] = 10 * (i + 2)
        cardinals |= {f"{ten}-{one}": 10 * (i + 2) + j + 1 for j, one in enumerate(_ONES[:9])}
    ordinals: dict[str, int] = {}
    for word, value in cardinals.items():
        head, dash, last = word.rpartition("-")
        regular = last[:-1] + "ieth" if last.endswith("y") else last + "th"
        irregular = next((name for name, n in _IRREGULAR.items() if cardinals[last] == n), None)
        ordinals[head + dash + (irregular or regular)] = value
    return cardinals | ordinals
