"""Numbers in words, the American way: no "and", no hyphens, lower case."""

from __future__ import annotations

from functools import lru_cache

_FRACTION = r"\.\d{1,30}(?!\d)"
# A pattern: 1,234.5 or 12,34,567 or 1234 or .5
NUMBER = (
    rf"(?:\d{{1,3}}(?:,\d{{3}}){{1,10}}(?!\d)(?:{_FRACTION})?|\d{{1,2}}(?:,\d\d){{1,4}},\d{{3}}(?!\d)"
    rf"|\d{{1,30}}(?!\d)(?:{_FRACTION})?|{_FRACTION})"
)

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
SCALES = " thousand million billion trillion quadrillion".split(" ")
LARGEST = 10**18 - 1  # beyond it, digits are read one by one

IRREGULAR_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def _below_thousand(value: int) -> list[str]:
    hundreds, rest = divmod(value, 100)
    words = [ONES[hundreds], "hundred"] if hundreds else []
    if rest >= 20:
        words.append(TENS[rest // 10])
        rest %= 10
        if not rest:
            return words
    if rest or not words:
        words.append(ONES[rest])
    return words


@lru_cache(maxsize=8192)
def cardinal(value: int) -> str:
    """1234 -> one thousand two hundred thirty four. Negative numbers begin with "minus"."""
    if value < 0:
        return "minus " + cardinal(-value)
    if value > LARGEST:
        return digits(str(value))
    groups: list[str] = []
    scale = 0
    rest = value
    while rest or not groups:
        rest, group = divmod(rest, 1000)
        if group or not (rest or groups):
            groups.insert(0, " ".join(_below_thousand(group) + ([SCALES[scale]] if scale else [])))
        scale += 1
    return " ".join(groups)


def ordinal(value: int) -> str:
    """21 -> twenty first."""
    *head, last = cardinal(value).split()
    if last in IRREGULAR_ORDINALS:
        last = IRREGULAR_ORDINALS[last]
    elif last.endswith("y"):
        last = last[:-1] + "ieth"
    else:
        last += "th"
    return " ".join([*head, last])


def digits(text: str, group: int = 0) -> str:
    """Digit by digit; other characters are skipped. With `group`, a pause (",") follows every so many digits."""
    names = [ONES[int(c)] for c in text if "0" <= c <= "9"]
    if not group:
        return " ".join(names)
    return " , ".join(" ".join(names[i : i + group]) for i in range(0, len(names), group))


def whole(text: str) -> str:
    """A run of digits as a number, or digit by digit where it starts with 0 or is very long."""
    text = text.replace(",", "")
    if len(text) > 15:
        return digits(text, group=4)
    if len(text) > 1 and text[0] == "0":
        return digits(text)
    return cardinal(int(text))


def decimal(text: str) -> str:
    """ "3.14" -> three point one four; "1,234" -> one thousand two hundred thirty four; ".5" -> point five."""
    left, _, right = text.partition(".")
    words = [whole(left)] if left else []
    if right:
        words += ["point", digits(right)]
    return " ".join(words)


def pairs(value: int) -> str:
    """A four-digit number in two halves: 1905 -> nineteen oh five, 1900 -> nineteen hundred."""
    high, low = divmod(value, 100)
    if not low:
        return f"{cardinal(high)} hundred" if high % 10 else cardinal(value)
    return f"{cardinal(high)} {'oh ' if low < 10 else ''}{cardinal(low)}"


def year(value: int) -> str:
    """1999 -> nineteen ninety nine, 2005 -> two thousand five, 2026 -> twenty twenty six."""
    if 1000 < value < 10000 and not 2000 <= value <= 2009:
        return pairs(value)
    return cardinal(value)


def plural(words: str) -> str:
    """The plural of a number's last word: twenty -> twenties, hundred -> hundreds, six -> sixes."""
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith("x") else "s")


def spelled(text: str) -> str:
    """Letters and digits one by one: 1Z9A -> one Z nine A. Other characters are a short pause."""
    return " ".join(ONES[int(c)] if c.isdecimal() else c.upper() if c.isalpha() else "," for c in text)


def identifier(text: str) -> str:
    """The number in a name such as H200, A320 or B52: up to two digits or round hundreds whole, else in pieces."""
    if text[0] == "0" or len(text) > 4:
        return digits(text, group=4 if len(text) > 8 else 0)
    value = int(text)
    if len(text) <= 2 or value % 100 == 0:
        return cardinal(value)
    if len(text) == 3:
        rest = value % 100
        return f"{ONES[value // 100]} {'oh ' if rest < 10 else ''}{cardinal(rest)}"
    return year(value)
