"""Finds the Chinese parts of a text, and their spoken words and phones."""

from __future__ import annotations

import re
from bisect import bisect
from functools import cache
from typing import TYPE_CHECKING

from deployments.text.english.pronounce import Phones
from deployments.text.mandarin import numbers as mandarin_numbers
from deployments.text.mandarin import pinyin
from deployments.text.mandarin.numbers import NUMBER
from deployments.text.mandarin.pinyin import HANZI

if TYPE_CHECKING:
    from opencc import OpenCC

# Characters, and the numbers among and next to them, which are read in Chinese; also 公里/小时
RUN = re.compile(
    rf"(?:(?<![A-Za-z] ){NUMBER} ?|{NUMBER})?[{HANZI}]"
    rf"(?:[{HANZI}]|(?:(?<=\d[{HANZI}])|(?<=\d[{HANZI}]{{2}}))/(?=[{HANZI}])| ?{NUMBER}(?! ?[A-Za-z]))*"
)
BEHIND = re.compile(rf"[{HANZI}][:,;.]? ?$")  # an address may follow without a space
_ALONE = re.compile(
    rf"(?<![A-Za-z])(?<![A-Za-z] ){NUMBER}(?! ?[A-Za-z])"
)  # a number without letters next to it
_LETTER = re.compile(f"[A-Za-z{HANZI}]")
SIGNS = {
    ">=": "大于等于", "<=": "小于等于", "≥": "大于等于", "≤": "小于等于", ">": "大于", "<": "小于", "=": "等于",
    "≠": "不等于", "≈": "约等于", "+": "加", "×": "乘", "÷": "除以", "±": "正负", "&": "和",
}  # fmt: skip
_OPERAND = re.compile(rf"[\d){HANZI}%] ?$")
_SIGN = re.compile(rf"(?:[<>]=?|[=≥≤≠≈+×÷±&])(?![-=<>+*/&|!])(?= ?[\d({HANZI}¥$€£-])")
_LOOSE = re.compile(f"(?<=[{HANZI}]) | (?=[{HANZI}])")  # spaces that do not separate numbers
_SPLIT = re.compile(f"[^{HANZI}]+")


class Scripts:
    """The script around each position: a number between signs (电话：12345, | 小明 | 12 |) follows its neighbours."""

    def __init__(self, text: str) -> None:
        self.text = text
        letters = list(_LETTER.finditer(text)) if re.search(f"[{HANZI}]", text) else []
        self.places, self.chinese = [m.start() for m in letters], [not m[0].isascii() for m in letters]

    def number(self, at: int) -> re.Match[str] | None:
        """The number at `at` if the last letter before it, or else the first after it, is Chinese."""
        if not self.places:
            return None
        return _ALONE.match(self.text, at) if self.among(at) else None

    def sign(self, at: int) -> re.Match[str] | None:
        """The sign at `at` if it is one of SIGNS between Chinese operands."""
        if not self.places or not _OPERAND.search(self.text, max(0, at - 2), at) or not self.among(at):
            return None
        return _SIGN.match(self.text, at)

    def among(self, at: int) -> bool:
        return self.chinese[max(0, bisect(self.places, at) - 1)]


def said(run: str, before: str = "") -> list[tuple[str, Phones]]:
    """The words and phones of a match of `RUN` or `Scripts.number`, with numbers written out.

    before: the preceding characters, which may show the kind of a number.
    """
    if not _SPLIT.search(run):
        return _pronounced(run)
    spoken = mandarin_numbers.spoken(_LOOSE.sub("", run), before)
    return [word for part in _SPLIT.split(spoken) if part for word in _pronounced(part)]


def _pronounced(hanzi: str) -> list[tuple[str, Phones]]:
    """Simplifies the characters first, because jieba's dictionary and pypinyin's phrases are simplified."""
    return [
        (word, tuple(phone for syllable in syllables for phone in syllable.phones))
        for word, syllables in pinyin.words(_simplifier().convert(hanzi))
    ]


@cache
def _simplifier() -> OpenCC:
    from opencc import OpenCC

    return OpenCC("t2s")
