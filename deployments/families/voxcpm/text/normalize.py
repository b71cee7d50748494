"""Writes out numbers, dates and signs, as the published package does on request."""

import re
from collections.abc import Callable
from functools import cache
from typing import Literal, cast

from deployments.text.english.numbers import cardinal, digits

Reading = Literal["zh", "en"]
LONGEST = 18  # digits of a number that is read as one

_CHINESE = re.compile(r"[一-鿿]")
_CODE_BLOCK = re.compile(r"```.*?```", re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_IMAGE = re.compile(r"!\[[^\[\]\n]{0,500}\]\([^()\n]{0,2000}\)")
_LINK = re.compile(r"\[([^\[\]\n]{0,500})\]\([^()\n]{0,2000}\)")
_BULLET = re.compile(r"^[ \t]*- ", re.MULTILINE)
_TAG = re.compile(r"<[A-Za-z/!][^<>]{0,2000}>")
_HEADING = re.compile(r"^#+[ \t]*", re.MULTILINE)
_EMOJI = re.compile(
    "[#*0-9\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff]\ufe0f"
    "|[\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653\u267f\u2693\u26a1\u26aa\u26ab"
    "\u26bd\u26be\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c\u274e"
    "\u2753-\u2755\u2757\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55"
    "\U0001f004\U0001f0cf\U0001f18e\U0001f191-\U0001f19a\U0001f1e6-\U0001f1ff\U0001f201\U0001f21a\U0001f22f"
    "\U0001f232-\U0001f236\U0001f238-\U0001f23a\U0001f250\U0001f251\U0001f300-\U0001faff]"
)
_ARITHMETIC = re.compile(r"[0-9$%^*_+≥≤≠×÷?=]")
_HYPHEN = re.compile(r"(?<=[A-Za-z0-9])-(?=\d)")
_BLANK = re.compile(r"(?<![!-~]) | (?![!-~])")
_DIGITS = re.compile(r"\d+", re.ASCII)
_SIGNS = {"²": "平方", "³": "立方", "√": "根号", "≈": "约等于", "<": "小于", "`": "",
          "——": " ", "（": " ", "）": " ", "【": " ", "】": " "}  # fmt: skip
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))


def normalized(text: str, reading: Reading | None = None) -> str:
    """`text` as it is read. Never fails: what a grammar rejects is kept. reading: None lets the text decide.

    Unlike the published function, it collapses spaces before the grammar runs, which fails on two in a row, and reads
    digits that the English grammar has left without "and".
    """
    text = cleaned(text)
    if reading == "zh" or (reading is None and _CHINESE.search(text)):
        return _chinese(text)
    return _DIGITS.sub(lambda m: _number(m[0]), _through_grammar("en", text))


def cleaned(text: str) -> str:
    """Without markup and emoji, in one line, with straight quotes."""
    for pattern, kept in (
        (_CODE_BLOCK, ""),
        (_CODE, ""),
        (_IMAGE, ""),
        (_LINK, r"\1"),
        (_BULLET, ""),
        (_TAG, ""),
    ):
        text = pattern.sub(kept, text)
    text = _EMOJI.sub("", _HEADING.sub("", text)).translate({0x201C: '"', 0x201D: '"'})
    return " ".join(text.split())


def _chinese(text: str) -> str:
    text = text.replace("=", "等于")
    if _ARITHMETIC.search(text):
        text = _HYPHEN.sub(" - ", text)
    text = _BLANK.sub("", _through_grammar("zh", text))
    return _SIGN.sub(lambda m: _SIGNS[m[0]], text)


def _number(run: str) -> str:
    return cardinal(int(run)) if len(run) <= LONGEST else digits(run)


def _through_grammar(reading: Reading, text: str) -> str:
    try:
        return _grammar(reading)(text) or text
    except Exception:  # the grammars' errors have no common type (an assertion, in most cases)
        return text


@cache
def _grammar(reading: Reading) -> Callable[[str], str]:
    import wetext

    grammar = wetext.Normalizer(lang=reading, operator="tn", remove_erhua=reading == "zh")
    return cast(Callable[[str], str], grammar.normalize)
