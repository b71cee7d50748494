"""Numbers among Chinese characters, read by wetext's grammars. What the grammars misread is rewritten first."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from deployments.text.mandarin.pinyin import HANZI

if TYPE_CHECKING:
    from wetext import Normalizer

_UNIT = r"(?:°[CF]?|%|(?:[ckm]?m|k?g|m?[lL]|min|h)(?![A-Za-z]))"
_PART = rf"\d{{1,40}}+{_UNIT}?+"  # bounded, because each place in a long row of digits may have to be tried
# 3月5号, 50%-60%的人, 下午 3:30, 5kg苹果
NUMBER = (
    rf"[¥$€£]?(?:(?<![A-Za-z0-9%°])[+-])?(?<![A-Za-z0-9]\.){_PART}(?:[.,:/~–+×÷=-][¥$€£]?{_PART}){{0,30}}+"
)

_SIGNS = "-~–"
_ALONE = r"(?<![\d.,:/~–+×÷=-])"
_TWICE = re.compile(r"¥(?=[\d.,]+元)")  # ¥5元
# Two plain numbers with a dash: a range if the first is smaller, else a score; wetext reads most as a difference.
_PAIR = re.compile(
    rf"{_ALONE}(?P<left>\d{{1,4}}(?:\.\d+)?)(?P<unit>{_UNIT}?)(?P<sign>[{_SIGNS}])"
    rf"(?P<right>\d{{1,4}}(?:\.\d+)?)(?![\d.,:/~–+×÷=-])"
)
_SCORE_BEFORE = re.compile(r"(?:比分[是为]?:? ?|[以近])$")
_SCORE_BEHIND = re.compile(r"的?(?:比分|获胜|取胜|战胜|击败|战平|大胜|完胜|险胜|[赢输胜负])")
_SUM_BEHIND = re.compile(r"等于")
_YEARS = re.compile(rf"(?<!\d)(\d{{4}})[{_SIGNS}/](\d{{4}})(?=年|学年|赛季|财年)")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_LIST = re.compile(r"(?<![\d.,/])\d+(?:,\d+)+(?![\d.,/])")  # 1,2,3名
_CHOICE = re.compile(r"(?<![\d/])(?!\d{4}/|\d+/\d+/\d{4})\d+(?:/\d+){2,}(?![\d/])")  # 2/3/4人
_VERSION = re.compile(r"(?<![\d.])(?!\d{4}\.\d{1,2}\.\d{1,2}(?![\d.]))\d+(?:\.\d+){2,}(?![\d.])")  # 1.2.3版本
_ORDINAL = re.compile(r"(?<=第)\d{1,9}(?![\d.,])|(?<![\d.,:])\d{1,2}(?=[月日号])")
# The measure words before which wetext reads a single 2 as 二
_TWO = re.compile(
    rf"(?<!第){_ALONE}2(?=[点倍种次份台间部句门包幅项款批毛]|公斤|星期|年(?!级|\d|[一二三四五六七八九十]{{1,2}}月))"
)
_TIMES = re.compile(r"(?<=\d)×(?=\d)")
_GRAMS = re.compile(r"(?<=\d)g(?![A-Za-z])")
_PER = re.compile(rf"(?<=[{HANZI}])/(?=[{HANZI}])")
# Read digit by digit: numbers of identity or bank cards, and shorter ones after a word for "number"
_ROW = re.compile(rf"{_ALONE}\d{{12,}}(?![\d.,])")
_CALLED = re.compile(rf"(?P<name>[号码编]|QQ)(?P<between>[是为]?:? ?){_ALONE}(?P<row>\d{{5,11}})(?![\d.,])")
_DIGITS, _YEAR_DIGITS = (
    str.maketrans("0123456789", names) for names in ("零幺二三四五六七八九", "零一二三四五六七八九")
)


def spoken(written: str, before: str = "") -> str:
    """Characters and numbers to characters, with spaces between separate numbers. before: the preceding characters."""
    if before and (called := _CALLED.match(tail := _name_of(before) + written)):
        written = called["row"].translate(_DIGITS) + tail[called.end() :]
    written = _CALLED.sub(lambda m: m["name"] + m["between"] + m["row"].translate(_DIGITS), written)
    written = _ROW.sub(lambda m: m[0].translate(_DIGITS), written)
    written = _YEARS.sub(lambda m: "到".join(year.translate(_YEAR_DIGITS) for year in m.groups()), written)
    written = _PAIR.sub(lambda m: _pair(m, before), _TWICE.sub("", written))
    written = _TWO.sub("两", _THOUSANDS.sub(lambda m: m[0].replace(",", ""), written))
    for listed, sign, between in ((_LIST, ",", "、"), (_CHOICE, "/", "、"), (_VERSION, ".", "点")):
        written = listed.sub(lambda m, sign=sign, between=between: m[0].replace(sign, between), written)
    for found, said in ((_TIMES, "乘"), (_GRAMS, "克"), (_PER, "每")):
        written = found.sub(said, written)
    written = _ORDINAL.sub(lambda m: _normalised(m[0].lstrip("0") or "0"), written)
    # the remaining digits are numbers that wetext does not know
    return " ".join(map(_normalised, written.split(" "))).translate(_YEAR_DIGITS)


def _name_of(before: str) -> str:
    found = re.search(r"(?:[号码编]|QQ)[是为]?:? ?$", before)
    return found[0] if found else ""


def _pair(m: re.Match[str], before: str) -> str:
    before, behind = before + m.string[: m.start()], m.string[m.end() :]
    if m["sign"] == "-" and (_SCORE_BEFORE.search(before) or _SCORE_BEHIND.match(behind)):
        between = "比"
    elif m["sign"] == "-" and (_SUM_BEHIND.match(behind) or float(m["left"]) >= float(m["right"])):
        between = "-"
    else:
        between = "到"
    return m["left"] + m["unit"] + between + m["right"]


def _normalised(text: str) -> str:
    return str(_normalizer().normalize(text)) if text else ""


@cache
def _normalizer() -> Normalizer:
    """wetext's grammars, loaded for the first number: half a second and about 45 MB."""
    from wetext import Normalizer

    return Normalizer(lang="zh", operator="tn")
