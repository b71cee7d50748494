"""Finds the Chinese runs of a text and gives their words and phones."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from deployments.text.english.addresses import ADDRESS
from deployments.text.mandarin import amounts, dates, identifiers, money, pinyin
from deployments.text.mandarin.pinyin import HANZI
from deployments.text.phones import Phones
from deployments.text.rules import Rule, shape, worth_trying

if TYPE_CHECKING:
    from opencc import OpenCC

_DOTTED = re.compile(r"\.[A-Za-z]|@")  # every address that begins with a digit has one of these
BEHIND = re.compile(rf"[{HANZI}][:,;.]? ?$")  # an address may follow without a space
# Tried in this order; the first that returns a reading wins
_NUMBER_RULES: tuple[Rule, ...] = (
    *identifiers.RULES, *dates.RULES, *amounts.RULES, *identifiers.LATE_RULES, *amounts.LATE_RULES,
)  # fmt: skip
_rules_for = worth_trying(_NUMBER_RULES)
_LETTER_RULES: tuple[Rule, ...] = (
    identifiers.plate,
    money.money,
    amounts.grade,
    amounts.numbered,
    amounts.roman_numeral,
    amounts.sign,
)
_LETTER = re.compile(f"[A-Za-z]{{2,}}|[{HANZI}]")  # single letters do not determine the language
_LETTER_OR_CHARACTER = re.compile(f"[A-Za-z{HANZI}]")
_CHARACTERS = re.compile(f"[{HANZI}]+")
_PER = re.compile(f"(?<=[{HANZI}])/(?=[{HANZI}])")  # 公里/小时
_OPENS = frozenset("#∈∉∪∩⊂+-/~–—(¥$€£₩₹₽<>=≥≤≠≈×÷±&*xX√²³¹⁰⁴⁵⁶⁷⁸⁹⁺⁻₀₁₂₃₄₅₆₇₈₉")
_LETTERS = re.compile(r"(?<![A-Za-z])[A-Za-z]{1,30}(?:-?(?=\d)|(?=[₀-₉]))")
_WORD = re.compile(r"(?<![A-Za-z\d/])(?!mille)[A-Za-z]{4,}|[A-Za-z] (?!mille)[A-Za-z]{2}")
_TOKEN = re.compile(r"[A-Za-z\d]{0,12}")  # the rest of a token: 3U8888
_CHINESE_BEHIND = re.compile(f" ?[{HANZI}]")
_ENGLISH_BEHIND = re.compile(r" [a-z]{2,}")
_NAME_BEFORE = re.compile(f"(?:^|[{HANZI}]|[,.:;(\"'] ?)[ ]?[A-Za-z]+(?:[ -]?|: ?)$|[A-Z][A-Za-z]*[ -]?$")
_ENGLISH_BEFORE = re.compile(
    r" (?:at|in|on|for|with|by|from|to|of|is|are|was|costs?|about|around|after|before|until) $"
)
_WORD_GOES_ON = re.compile(r"[A-Za-z\d]$")
_SPOKEN = re.compile(f"[{HANZI}]+|[A-Z]")


class Scripts:
    """The script around each position: a number between signs (电话：12345, | 小明 | 12 |) follows its neighbours.

    chinese: treat a text without words (60km/h) as Chinese.
    """

    def __init__(self, text: str, chinese: bool = False) -> None:
        self.text = text
        self.dotted = bool(_DOTTED.search(text))
        letters = list(_LETTER.finditer(text)) if re.search(f"[{HANZI}]", text) else []
        self.places, self.chinese = [m.start() for m in letters], [not m[0].isascii() for m in letters]
        if chinese and not letters and not _WORD.search(text):
            self.places, self.chinese = [0], [True]

    def run(self, at: int) -> tuple[str, int] | None:
        """The characters and numbers from `at` on, spelled as characters, and the end of the run.

        A space separates two numbers; a capital stands for the name of a letter.
        """
        if not self.places:
            return None
        text, end, said, numeric = self.text, at, "", False
        while end < len(text):
            blank = text[end] == " " and bool(said)
            start = end + blank
            if found := _CHARACTERS.match(text, start):
                said, end, numeric = said + found[0], found.end(), False
            elif not blank and _divides(text, start):
                said, end = said + "每", start + 1
            elif number := self._number(start):
                said, end, numeric = said + " " * (blank and numeric) + number[0], number[1], True
            else:
                break
        return (said, end) if said else None

    def letters(self, at: int) -> re.Match[str] | None:
        """The letters before digits that are read in Chinese: T3航站楼."""
        found = _LETTERS.match(self.text, at) if self.places else None
        return found if found and self._number(found.end()) else None

    def _number(self, at: int) -> tuple[str, int] | None:
        text, char = self.text, self.text[at : at + 1]
        if char.isdecimal():
            if self.dotted and ADDRESS.match(text, at):
                return None
            rules = _rules_for(shape(text, at))
        elif char.isupper() and not _WORD_GOES_ON.search(self.text, max(0, at - 1), at):
            rules = _LETTER_RULES
        elif char and char in _OPENS:
            rules = _rules_for(shape(text, at))
        else:
            return None
        for rule in rules:
            match = rule.pattern.match(text, at)
            if match and self._among(at, match.end()) and (spoken := rule.say(match)) is not None:
                return spoken, match.end()
        return None

    def _among(self, start: int, end: int) -> bool:
        """Whether text[start:end] is read in Chinese, judged by the letters around it."""
        if found := _TOKEN.match(self.text, end):
            end = found.end()
        if _CHINESE_BEHIND.match(self.text, end):
            return True
        if _ENGLISH_BEHIND.match(self.text, end):
            return False
        last, following = bisect(self.places, start - 1) - 1, bisect(self.places, end - 1)
        if any(self.chinese[last + 1 : following]):
            return True
        if last < 0:
            return self.chinese[min(following, len(self.chinese) - 1)]
        if self.chinese[last]:
            return True
        before = max(0, start - 40)
        named = _NAME_BEFORE.search(self.text, before, start)
        return bool(named) and not _ENGLISH_BEFORE.search(self.text, before, start)


def starts_chinese(text: Iterable[str], otherwise: bool = False) -> bool:
    """Whether the first letter is Chinese; `otherwise` where there is none."""
    for char in text:
        if char.isalpha() and _LETTER_OR_CHARACTER.match(char):
            return not char.isascii()
    return otherwise


def _divides(text: str, at: int) -> bool:
    """Whether the slash at `at` divides units: 60公里/小时."""
    return bool(_PER.match(text, at) and re.search(rf"\d ?[{HANZI}]{{1,4}}$", text[max(0, at - 6) : at]))


def said(spoken: str) -> list[tuple[str, Phones | None]]:
    """The words and phones of a result of `Scripts.run`. The names of letters have no phones here."""
    words: list[tuple[str, Phones | None]] = []
    for part in _SPOKEN.findall(simplified(spoken)):
        words += [(part, None)] if part.isascii() else _pronounced(part)
    return words


def _pronounced(hanzi: str) -> list[tuple[str, Phones | None]]:
    return [
        (word, tuple(phone for syllable in syllables for phone in syllable.phones))
        for word, syllables in pinyin.words(hanzi)
    ]


def simplified(text: str) -> str:
    """`text` in simplified characters, of which jieba's dictionary and pypinyin's phrases are."""
    return _simplifier().convert(text)


@cache
def _simplifier() -> OpenCC:
    from opencc import OpenCC

    return OpenCC("t2s")
