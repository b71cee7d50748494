"""Normalised Chinese to phone symbols: two for each character, an initial and a toned final, and one for a mark."""

from __future__ import annotations

import re
from functools import lru_cache

from deployments.families.gpt_sovits.text.sandhi import MARKS, Tagged, changed, regrouped, rolled
from deployments.families.gpt_sovits.text.symbols import UNKNOWN
from deployments.text.mandarin.pinyin import Syllable, syllable
from deployments.text.mandarin.readings import jieba, readings

_CLAUSE = re.compile(r"[^!?…,.\-]*[!?…,.\-]?")
_HANZI = re.compile(r"[^!?…,.\-]+")
# A final without an initial, with the symbols that stand for it; the others begin with AA, EE or OO
_ALONE = {
    "i": "y i", "ia": "y a", "ie": "y E", "iao": "y ao", "iou": "y ou", "ian": "y En", "in": "y in", "iang": "y ang",
    "ing": "y ing", "iong": "y ong", "v": "y v", "ve": "y ve", "van": "y van", "vn": "y vn",
    "u": "w u", "ua": "w a", "uo": "w o", "uai": "w ai", "uei": "w ei", "uan": "w an", "uen": "w en",
    "uang": "w ang", "ueng": "w eng", "eh": "EE E",
}  # fmt: skip
_AFTER_INITIAL = {"iou": "iu", "uei": "ui", "uen": "un", "ih": "i0", "iw": "ir"}
_MISSING = Syllable("", "", 5, ())


def phones(text: str, version: str = "v2") -> tuple[list[str], list[int]]:
    """The symbols of normalised `text`, and how many each of its characters has: 2, or 1 for a mark."""
    found: list[str] = []
    for clause in _CLAUSE.findall(text):
        found += _clause(clause, version) if clause else []
    return found, [1 if character in MARKS else 2 for character in text]


def _clause(clause: str, version: str) -> list[str]:
    found: list[str] = []
    read = {at: one for run in _HANZI.finditer(clause) for at, one in _read(run[0], run.start())}
    words = [Tagged(*word) for word in jieba().tag(clause)]
    at = 0
    for word in regrouped(words, lambda text: [_usual(text, i).tone for i in range(len(text))]):
        if word.text in MARKS:
            found.append(word.text)
        else:
            syllables = changed(word, [read[at + i] for i in range(len(word.text))])
            if version != "v1":
                syllables = rolled(word, syllables)
            for one in syllables:
                found += _symbols(one)
        at += len(word.text)
    return found


def _read(hanzi: str, start: int) -> list[tuple[int, Syllable]]:
    """The places of characters and their syllables in this context, without a neutral tone that the sandhi adds."""
    found: list[tuple[int, Syllable]] = []
    at = start
    for word, read in readings(hanzi):
        for index in range(len(word)):
            one, usual = _parsed(read[index] if index < len(read) else ""), _usual(word, index)
            same = (one.initial, one.final) == (usual.initial, usual.final)
            found.append((at, usual if one.tone == 5 and same else one))
            at += 1
    return found


@lru_cache(maxsize=32768)
def _usual(word: str, index: int) -> Syllable:
    """The syllable of a character in its word, from pypinyin's dictionaries."""
    from pypinyin import Style, lazy_pinyin

    read = lazy_pinyin(word, Style.TONE3, neutral_tone_with_five=True)
    if len(read) != len(word):  # it has a character without a reading
        return _usual(word[index], 0) if len(word) > 1 else _MISSING
    return _parsed(read[index])


def _parsed(pinyin: str) -> Syllable:
    return syllable(pinyin) or _MISSING


def _symbols(one: Syllable) -> tuple[str, str]:
    if one is _MISSING:
        return UNKNOWN, UNKNOWN
    if one.initial:
        return one.initial, f"{_AFTER_INITIAL.get(one.final, one.final)}{one.tone}"
    first, final = _ALONE.get(one.final, f"{one.final[0].upper() * 2} {one.final}").split()
    return first, f"{final}{one.tone}"
