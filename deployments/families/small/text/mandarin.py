"""Chinese in a text: where it stands, and the words and phones that are said for it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from deployments.families.small.text import pinyin
from deployments.families.small.text.pinyin import HANZI
from deployments.families.small.text.pronounce import Phones

if TYPE_CHECKING:
    from opencc import OpenCC
    from wetext import Normalizer

_UNIT = rf"°C|[°%]|[ckm]?m(?=[{HANZI}])|kg(?=[{HANZI}])"
_NUMBER = rf"[¥$€£]?(?:(?<![A-Za-z0-9])[+-])?\d++(?:[.,:/~–+×÷=-]\d++)*+(?:{_UNIT})?+"
# Characters, and the numbers among and beside them, which are read in Chinese: 3月5号, 50%的人, 下午 3:30, 5kg苹果
RUN = re.compile(
    rf"(?:(?<![A-Za-z] ){_NUMBER} ?|{_NUMBER})?[{HANZI}](?:[{HANZI}]| ?{_NUMBER}(?! ?[A-Za-z]))*"
)
_TWICE = re.compile(r"¥(?=[\d.,]+元)")  # ¥5元
# Two plain numbers with a dash: a score, or a span if the first is the smaller; wetext takes most for a difference.
_PAIR = re.compile(
    r"(?<![\d.,:/~–+×÷=-])(?P<left>\d{1,4}(?:\.\d+)?)(?P<sign>[-~–])(?P<right>\d{1,4}(?:\.\d+)?)(?![\d.,:/~–+×÷=-])"
)
_SCORE_BEFORE = re.compile(r"(?:比分[是为]?|[以近])$")
_SCORE_BEHIND = re.compile(r"的?(?:比分|获胜|取胜|战胜|击败|战平|大胜|完胜|险胜|[赢输胜负])")
_SUM_BEHIND = re.compile(r"等于")
_LIST = re.compile(r"(?<![\d.,/])(?!\d{1,3}(?:,\d{3})+(?![\d,]))\d+(?:,\d+)+(?![\d.,/])")  # 1,2,3名
_CHOICE = re.compile(r"(?<![\d/])(?!\d{4}/|\d+/\d+/\d{4})\d+(?:/\d+){2,}(?![\d/])")  # 2/3/4人
_VERSION = re.compile(r"(?<![\d.])(?!\d{4}\.\d{1,2}\.\d{1,2}(?![\d.]))\d+(?:\.\d+){2,}(?![\d.])")  # 1.2.3版本
_LOOSE = re.compile(f"(?<=[{HANZI}]) | (?=[{HANZI}])")  # blanks that part no numbers
_SPLIT = re.compile(f"[^{HANZI}]+")
_LEFT_OVER = str.maketrans("0123456789", "零一二三四五六七八九")  # of numbers that wetext does not know


def said(run: str) -> list[tuple[str, Phones]]:
    """The words of what `RUN` has found, with their phones; numbers as words."""
    if not _SPLIT.search(run):
        return _pronounced(run)
    written = _PAIR.sub(_pair, _TWICE.sub("", _LOOSE.sub("", run)))
    for listed, sign, between in ((_LIST, ",", "、"), (_CHOICE, "/", "、"), (_VERSION, ".", "点")):
        written = listed.sub(lambda m, sign=sign, between=between: m[0].replace(sign, between), written)
    spoken = " ".join(str(_normalizer().normalize(part)) for part in written.split(" ")).translate(_LEFT_OVER)
    return [word for part in _SPLIT.split(spoken) if part for word in _pronounced(part)]


def _pair(m: re.Match[str]) -> str:
    before, behind = m.string[: m.start()], m.string[m.end() :]
    if m["sign"] == "-" and (_SCORE_BEFORE.search(before) or _SCORE_BEHIND.match(behind)):
        between = "比"
    elif m["sign"] == "-" and (_SUM_BEHIND.match(behind) or float(m["left"]) >= float(m["right"])):
        between = "-"
    else:
        between = "到"
    return m["left"] + between + m["right"]


def _pronounced(hanzi: str) -> list[tuple[str, Phones]]:
    """jieba's dictionary and pypinyin's phrases are of simplified characters."""
    return [
        (word, tuple(phone for syllable in syllables for phone in syllable.phones))
        for word, syllables in pinyin.words(_simplifier().convert(hanzi))
    ]


@cache
def _simplifier() -> OpenCC:
    from opencc import OpenCC

    return OpenCC("t2s")


@cache
def _normalizer() -> Normalizer:
    """wetext's grammars, loaded with the first number: half a second, some 45 MB."""
    from wetext import Normalizer

    return Normalizer(lang="zh", operator="tn")
