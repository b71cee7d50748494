"""A piece of text to phones by the published rules, from the languages of its runs to the symbols."""

from __future__ import annotations

import re

from deployments.families.gpt_sovits.text import chinese_phones, chinese_published, english_published
from deployments.families.gpt_sovits.text.english_phones import pronounced
from deployments.families.gpt_sovits.text.languages import runs
from deployments.families.gpt_sovits.text.spoken import Spoken
from deployments.families.gpt_sovits.text.symbols import known
from deployments.text.words import COMMA, NO_PAUSE, Word

_PAUSES = {"￥": "SP2", "^": "SP3"}  # signs that stand for a pause in Chinese text
_TOKEN = re.compile(r"([A-Za-z]+(?:['-][A-Za-z]+)*)|([!?…,.\-'])")
_FEWEST = 4  # phones of English text


def read(piece: str, language: str, version: str) -> list[Spoken]:
    """The runs of `piece`. language: a value of `languages.DECLARED`. Raises InvalidInput as `languages.runs`."""
    return [
        _chinese(run.text, version) if run.language == "zh" else _english(run.text, version)
        for run in runs(piece, language)
    ]


def _chinese(text: str, version: str) -> Spoken:
    sign = next((sign for sign in _PAUSES if sign in text), None)
    normal = chinese_published.normalise(text if sign is None else text.replace(sign, ","))
    phones, sizes = chinese_phones.phones(normal, version)
    if sign is not None:  # the published code renames every comma, too
        phones = [_PAUSES[sign] if phone == "," else phone for phone in phones]
    return Spoken("zh", normal, tuple(known(phone, version) for phone in phones), tuple(sizes))


def _english(text: str, version: str) -> Spoken:
    normal = english_published.normalise(text)
    tokens = list(_TOKEN.finditer(normal))
    words = [m for m in tokens if m[1]]
    said = iter(pronounced([_word(m, normal) for m in words], normal))
    phones: list[str] = []
    for m in tokens:
        phones += next(said) if m[1] else ["-" if m[2] == "'" else m[2]]
    if len(phones) < _FEWEST:
        phones.insert(0, ",")
    return Spoken("en", normal, tuple(known(phone, version) for phone in phones))


def _word(m: re.Match[str], text: str) -> Word:
    """A lone capital is the name of that letter."""
    word = m[1] if len(m[1]) == 1 and m[1].isupper() else m[1].lower()
    ends = text[m.end() : m.end() + 1] in tuple("!?…,.")
    return Word(word, m.start(), m.end(), COMMA if ends else NO_PAUSE)
