"""The languages that a text may be declared to be in, and its runs of each.

The published system asks a statistical model for the language of each run. This module goes by the script alone: Latin
letters are English, Chinese characters are Mandarin, unless kana stand among them. So a Chinese sentence is never
taken for a Japanese one, and a sign such as ℃ or / stays with the words around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from deployments.contract.errors import InvalidInput

Language = Literal["zh", "en"]

# Values of the published `text_lang`: "all_zh" reads every number in Chinese, "zh" each in the language around it.
DECLARED = ("auto", "zh", "en", "all_zh")
LATER = ("auto_yue", "yue", "ko", "all_yue", "all_ko")  # not with v1
UNREAD = {
    "ja": "Japanese",
    "all_ja": "Japanese",
    "ko": "Korean",
    "all_ko": "Korean",
    "yue": "Cantonese",
    "all_yue": "Cantonese",
    "auto_yue": "Cantonese",
}

_KANA = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_OTHER_SCRIPT = re.compile(f"(?P<kana>[{_KANA}])|(?P<hangul>[{_HANGUL}])")
_RUN = re.compile(rf"(?P<han>[{_HAN}]+)|(?P<digits>\d+)|(?P<latin>[^\W\d_{_HAN}]+)|(?P<marks>.)", re.DOTALL)
_CHINESE = re.compile(f"[{_HAN}]")
_BLANKS = re.compile(r"\s{2,}")


@dataclass(frozen=True, slots=True)
class Run:
    """A part of a text in one language."""

    text: str
    language: Language


def declared(language: str | None, version: str = "v2") -> str:
    """The value of `DECLARED` that `language` names, in any case; also with a region, "zh-CN". None: "auto".

    Raises InvalidInput (param "language").
    """
    asked = (language or "auto").strip().lower()
    asked = asked if asked in DECLARED or asked in UNREAD else asked.replace("_", "-").split("-")[0]
    if asked in UNREAD and not (version == "v1" and asked in LATER):
        raise _unread(f"{UNREAD[asked]} is not read by this server: it has no pronunciation rules for it")
    if asked not in DECLARED:
        raise _unread(f"language {(language or '')[:20]!r} is not supported by this model")
    return asked


def check(text: str, language: str) -> None:
    """Raises InvalidInput (param "language") for Japanese or Korean, and for Chinese in a text declared English."""
    if other := _OTHER_SCRIPT.search(text):
        name = "Japanese" if other["kana"] else "Korean"
        raise _unread(f"input contains {name}, {other[0]!r}, which this server does not read")
    if language == "en" and (character := _CHINESE.search(text)):
        raise _unread(f"input contains Chinese, {character[0]!r}, but its language is 'en'")


def runs(text: str, language: str) -> list[Run]:
    """The runs of `text`, which together are the text with single blanks. language: one of `DECLARED`.

    Raises InvalidInput as `check` does.
    """
    check(text, language)
    text = _BLANKS.sub(lambda blank: blank[0][0], text)
    if language == "en":
        return [Run(text, "en")] if text else []
    marked = _marked(text)
    if language == "all_zh":
        return _merged(marked, lambda _: "zh")
    return _merged(marked, lambda index: _of_digits(marked, index))


def _unread(message: str) -> InvalidInput:
    allowed = f"{message}; allowed: {', '.join(DECLARED)}"
    return InvalidInput(allowed, param="language", code="unsupported_language")


Kind = Literal["zh", "en", "digits"]


@dataclass(frozen=True, slots=True)
class _Part:
    """A run of one kind with the marks behind it; the first one also has those before it."""

    text: str
    kind: Kind


def _marked(text: str) -> list[_Part]:
    kinds: dict[str, Kind] = {"han": "zh", "latin": "en", "digits": "digits"}
    parts: list[_Part] = []
    lead = ""
    for match in _RUN.finditer(text):
        kind = kinds.get(match.lastgroup or "")
        if kind is None and not parts:
            lead += match[0]
        elif kind is None or (parts and parts[-1].kind == kind):
            parts[-1] = replace(parts[-1], text=parts[-1].text + match[0])
        else:
            parts.append(_Part(lead + match[0], kind))
            lead = ""
    return parts or ([_Part(lead, "digits")] if lead else [])


def _of_digits(parts: list[_Part], index: int) -> Language:
    """The language of a number: that of its neighbours; of two, of the one that no mark divides from it, or the longer.

    Numbers alone are Chinese.
    """
    before = next((part for part in reversed(parts[:index]) if part.kind != "digits"), None)
    behind = next((part for part in parts[index + 1 :] if part.kind != "digits"), None)
    if before is None or behind is None or before.kind == behind.kind:
        near = before or behind
        return "en" if near is not None and near.kind == "en" else "zh"
    divided, closed = not before.text[-1].isalnum(), not parts[index].text[-1].isalnum()
    if divided != closed:
        near = behind if divided else before
    else:
        near = before if len(before.text) >= len(behind.text) else behind
    return "en" if near.kind == "en" else "zh"


def _merged(parts: list[_Part], of_digits: Callable[[int], Language]) -> list[Run]:
    found: list[Run] = []
    for index, part in enumerate(parts):
        language = of_digits(index) if part.kind == "digits" else part.kind
        if found and found[-1].language == language:
            found[-1] = replace(found[-1], text=found[-1].text + part.text)
        else:
            found.append(Run(part.text, language))
    return found
