"""Chinese in a text: where it stands, and the words and phones that are said for it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from deployments.families.small.text import pinyin
from deployments.families.small.text.pinyin import HANZI
from deployments.families.small.text.pronounce import Phones

if TYPE_CHECKING:
    from wetext import Normalizer

_NUMBER = rf"[¥$€£]?(?:(?<![A-Za-z0-9])[+-])?\d++(?:[.,:/~–-]\d++)*+(?:°C|[°%]|[ckm]?m(?=[{HANZI}])|kg(?=[{HANZI}]))?+"
# Characters, and the numbers among and beside them, which are read in Chinese: 3月5号, 50%的人, 下午 3:30, 5kg苹果
RUN = re.compile(
    rf"(?:(?<![A-Za-z] ){_NUMBER} ?|{_NUMBER})?[{HANZI}](?:[{HANZI}]| ?{_NUMBER}(?! ?[A-Za-z]))*"
)
_TWICE = re.compile(r"¥(?=[\d.,]+元)")  # ¥5元
_CHAPTERS = re.compile(r"(?<=第)(\d+)-(?=\d)")  # 第3-5章, which wetext takes for a difference
_SPAN = re.compile(r"(?<=\d)[~–](?=\d)")  # 3~5天
_LOOSE = re.compile(f"(?<=[{HANZI}]) | (?=[{HANZI}])")  # blanks that part no numbers
_SPLIT = re.compile(f"[^{HANZI}]+")


def said(run: str) -> list[tuple[str, Phones]]:
    """The words of what `RUN` has found, with their phones; numbers as words."""
    if not _SPLIT.search(run):
        return _pronounced(run)
    written = _CHAPTERS.sub(r"\1到", _SPAN.sub("到", _TWICE.sub("", _LOOSE.sub("", run))))
    spoken = " ".join(str(_normalizer().normalize(part)) for part in written.split(" "))
    return [word for part in _SPLIT.split(spoken) if part for word in _pronounced(part)]


def _pronounced(hanzi: str) -> list[tuple[str, Phones]]:
    return [
        (word, tuple(phone for syllable in syllables for phone in syllable.phones))
        for word, syllables in pinyin.words(hanzi)
    ]


@cache
def _normalizer() -> Normalizer:
    """wetext's grammars, loaded with the first number: half a second, some 45 MB."""
    from wetext import Normalizer

    return Normalizer(lang="zh", operator="tn")
