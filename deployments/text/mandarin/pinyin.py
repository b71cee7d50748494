"""Hanzi to syllables with their spoken tones, and syllables to phones.

`readings` reads the characters. This module applies the rules of tone sandhi:

- 不 (bu4) is bu2 before a fourth tone.
- 一 (yi1) is yi2 before a fourth tone and yi4 before the others. It stays yi1 at the end of a word, as an ordinal, in
  a row of digits, inside a larger number, and in the name of a month or a day.
- A third tone before another becomes a second tone: always inside a word, and between words if one of them has a
  single syllable.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache

from deployments.text.mandarin.readings import readings
from deployments.text.phones import FINALS, INITIALS

HANZI = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_DIGITS = "零〇一二三四五六七八九幺"
_NUMERALS = _DIGITS + "两十百千万亿"
# Patterns in which 一, written as 1 here, is a digit, numbers floors, classes or prizes, or follows a decimal point
_COUNTS = re.compile(
    rf"[第{_NUMERALS}]1|1(?:$|[月号楼{_DIGITS}]|点[{_DIGITS}](?!点)|比[{_NUMERALS}]|年级|等奖|路[公车])"
    rf"|[{_NUMERALS}](?:点1(?![刻点])|比1(?![百千万亿]))|月1日|[年级]1班"
)
_AFTER_Y = {
    "i": "i",
    "a": "ia",
    "e": "ie",
    "ao": "iao",
    "ou": "iou",
    "an": "ian",
    "in": "in",
    "ang": "iang",
    "ing": "ing",
}
_AFTER_Y |= {"ong": "iong", "u": "v", "ue": "ve", "uan": "van", "un": "vn", "o": "o"}
_AFTER_W = {
    "u": "u",
    "a": "ua",
    "o": "uo",
    "ai": "uai",
    "ei": "uei",
    "an": "uan",
    "en": "uen",
    "ang": "uang",
    "eng": "ueng",
}
_SHORT = {"iu": "iou", "ui": "uei", "un": "uen", "ue": "ve", "ê": "eh"}
_ROUNDED = {"u": "v", "ue": "ve", "uan": "van", "un": "vn"}  # after j, q, x
_SYLLABLE = re.compile(r"(?P<letters>[a-zêü]+)(?P<tone>[1-5])")


@dataclass(frozen=True, slots=True)
class Syllable:
    """initial: "" if there is none. final: one of FINALS. tone: 1 to 5. phones: in capitals: ZH ONG1."""

    initial: str
    final: str
    tone: int
    phones: tuple[str, ...]

    @classmethod
    @cache
    def of(cls, initial: str, final: str, tone: int) -> Syllable:
        toned = f"{final}{tone}".upper()
        return cls(initial, final, tone, (initial.upper(), toned) if initial else (toned,))

    def toned(self, tone: int) -> Syllable:
        return self if tone == self.tone else Syllable.of(self.initial, self.final, tone)


@cache
def syllable(pinyin: str) -> Syllable | None:
    """Parses a syllable with its tone digit: "zhong1", "lv4", "er2". None if it is not a syllable."""
    found = _SYLLABLE.fullmatch(pinyin.lower().replace("ü", "v"))
    if not found:
        return None
    letters, tone = found["letters"], int(found["tone"])
    if letters in ("n", "ng", "m", "hm", "hng"):  # 嗯, 呣, 哼
        return Syllable.of("", "en", tone)
    initial = next((i for i in sorted(INITIALS, key=len, reverse=True) if letters.startswith(i)), "")
    rest = letters[len(initial) :]
    if letters[:1] == "y":
        final = _AFTER_Y.get(letters[1:], "")
    elif letters[:1] == "w":
        final = _AFTER_W.get(letters[1:], "")
    elif rest == "i" and initial in ("z", "c", "s"):
        final = "ih"
    elif rest == "i" and initial in ("zh", "ch", "sh", "r"):
        final = "iw"
    elif initial in ("j", "q", "x"):
        final = _ROUNDED.get(rest, _SHORT.get(rest, rest))
    else:
        final = _SHORT.get(rest, rest)
    return Syllable.of(initial, final, tone) if final in FINALS else None


def syllables(hanzi: str) -> list[Syllable]:
    """The syllables of `words` in one list."""
    return [one for _, said in words(hanzi) for one in said]


def words(hanzi: str) -> list[tuple[str, list[Syllable]]]:
    """The words of a run of Chinese characters without punctuation, with one syllable per character, in spoken tones.

    A character without a reading is left out.
    """
    said: list[tuple[str, Syllable, int]] = []  # character, syllable, index of its word
    for index, (word, read) in enumerate(readings(hanzi)):
        said += [(character, one, index) for character, one in _parsed(word, read)]
    toned = _bu_and_yi(said) if "不" in hanzi or "一" in hanzi else [(one, word) for _, one, word in said]
    made: list[tuple[str, list[Syllable]]] = []
    last = -1
    for (character, _, word), one in zip(said, _third_tones(toned), strict=True):
        if word == last:
            text, own = made[-1]
            own.append(one)
            made[-1] = text + character, own
        else:
            made.append((character, [one]))
            last = word
    return made


@lru_cache(maxsize=32768)
def _parsed(word: str, read: tuple[str, ...]) -> tuple[tuple[str, Syllable], ...]:
    """The characters of a word that have a syllable, with it."""
    found = ((character, syllable(pinyin)) for character, pinyin in zip(word, read, strict=False))
    return tuple((character, one) for character, one in found if one)


def _bu_and_yi(said: list[tuple[str, Syllable, int]]) -> list[tuple[Syllable, int]]:
    made: list[tuple[Syllable, int]] = []
    for at, (character, one, word) in enumerate(said):
        following = said[at + 1] if at + 1 < len(said) else None
        if character == "不":
            one = one.toned(2 if following and following[1].tone == 4 else 4)
        elif character == "一":
            around = [c for c, _, _ in said[max(0, at - 3) : at + 4]]
            around[min(3, at)] = "1"
            if _COUNTS.search("".join(around)):
                one = one.toned(1)
            elif following and following[2] != word and at and said[at - 1][2] == word:
                one = one.toned(1)  # the last syllable of its word
            elif following:
                one = one.toned(2 if following[1].tone in (4, 5) else 4)
        made.append((one, word))
    return made


def _third_tones(said: list[tuple[Syllable, int]]) -> list[Syllable]:
    """said: syllables and the indices of their words."""
    made = [one for one, _ in said]
    thirds = [at for at in range(len(said) - 1) if said[at][0].tone == said[at + 1][0].tone == 3]
    if not thirds:
        return made
    sizes = Counter(word for _, word in said)
    for at in thirds:
        word, following = said[at][1], said[at + 1][1]
        if word == following or min(sizes[word], sizes[following]) == 1:
            made[at] = made[at].toned(2)
    return made
