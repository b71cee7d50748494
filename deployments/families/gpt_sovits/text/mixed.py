"""A piece of text to phones by this project's rules, which read Chinese and English together.

Numbers, units, dates and signs are read in the language around them (`deployments.text`), before the text is divided
into runs: 20ms in a Chinese sentence is 二十毫秒, and a range is a range. The phones of the words are those that the
published weights learnt.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import accumulate, groupby

from deployments.families.gpt_sovits.text import chinese_phones
from deployments.families.gpt_sovits.text.english_phones import pronounced
from deployments.families.gpt_sovits.text.languages import check
from deployments.families.gpt_sovits.text.spoken import Spoken
from deployments.families.gpt_sovits.text.symbols import known
from deployments.text.cleaned import cleaned as cleaned_text
from deployments.text.english.pronounce import default_pronouncer
from deployments.text.mandarin.script import starts_chinese
from deployments.text.normalise import normalise
from deployments.text.rewritten import Rewritten
from deployments.text.sentences import line_spans, paragraphs, sentences
from deployments.text.words import ELLIPSIS, Word

_MARKS = {
    **{mark: mark for mark in "!?,."}, **dict.fromkeys(";:()[]{}|•、", ","), **dict.fromkeys("-–—", "-"), "…": "…",
    "。": ".", "，": ",", "！": "!", "？": "?", "：": ",", "；": ",",
}  # fmt: skip
_MARK = re.compile("|".join(map(re.escape, _MARKS)))
_END = re.compile(r"[!?….]")
_LEAD = re.compile(r"[!?…,.]")
_DOTS = re.compile(r"\.{2,}|…+")
_INSIDE = re.compile(r"(?<=[A-Za-z0-9])[.,:!?~](?=[A-Za-z0-9])")
_WORD = re.compile(r"\w")
_HIDDEN = 0xE000  # private-use characters, which a cleaned text does not have


def cleaned(text: str, language: str) -> Rewritten:
    """Raises InvalidInput for a text that cannot be read, or is not in the declared language."""
    check(text, language)
    return cleaned_text(text, default_pronouncer().known, hanzi=True)


def hidden(text: str) -> str:
    """Cleaned `text` with other characters for the marks at which no piece ends: in 3.5, a.m., Dr. Smith, 9:30."""
    places = {m.start() for m in _INSIDE.finditer(text)}
    for first, last in paragraphs(text):
        for begin, stop in line_spans(text, first, last):
            for start, end in sentences(text, begin, stop):
                words = [m.end() for m in _WORD.finditer(text, start, end)]
                places |= {at for at in range(start, words[-1] if words else end) if text[at] == "."}
    return "".join(chr(_HIDDEN + ord(c)) if at in places else c for at, c in enumerate(text))


def shown(text: str) -> str:
    """The text that `hidden` was given."""
    return "".join(chr(ord(c) - _HIDDEN) if _HIDDEN <= ord(c) < _HIDDEN + 128 else c for c in text)


def read(piece: str, language: str, version: str) -> list[Spoken]:
    """The runs of a cleaned piece; none if it has nothing to speak. language: a value of `languages.DECLARED`."""
    piece = _MARK.sub(lambda m: _MARKS[m[0]] if not m[0].isascii() else m[0], piece)
    chinese = language in ("zh", "all_zh") or (language == "auto" and starts_chinese(piece))
    words = normalise(piece, default_pronouncer().known, chinese)
    if not words:
        return []
    ends = [*(word.start for word in words[1:]), len(piece)]
    marks = [_mark(word, piece[word.end : end]) for word, end in zip(words, ends, strict=True)]
    marks[-1] = marks[-1] or _MARKS.get(piece.rstrip()[-1], "")
    lead = _LEAD.search(piece, 0, words[0].start)
    found: list[Spoken] = []
    runs = groupby(zip(words, marks, strict=True), lambda item: item[0].phones is not None)
    before = list(accumulate((bool(_WORD.match(character)) for character in piece), initial=0))
    for index, (is_chinese, items) in enumerate(runs):
        first = _MARKS[lead[0]] if lead and index == 0 else ""
        run = list(items)
        made = _chinese(run, first, before, version) if is_chinese else _english(run, first, piece, before)
        found.append(replace(made, phones=tuple(known(phone, version) for phone in made.phones)))
    return found


def _mark(word: Word, gap: str) -> str:
    """The mark behind a word: of those in the gap before the next one, the first that ends a sentence, or the first."""
    if not word.pause:
        return ""
    found = _END.search(gap) or _MARK.search(gap)
    if word.pause == ELLIPSIS or (found and _DOTS.match(gap, found.start())):
        return "…"
    return _MARKS[found[0]] if found else ","


def _chinese(run: list[tuple[Word, str]], lead: str, before: list[int], version: str) -> Spoken:
    """before: the letters and digits before each place of the piece."""
    text = lead + "".join(word.text + mark for word, mark in run)
    phones, sizes = chinese_phones.phones(text, version)
    letters = [-1] * len(lead)
    for word, mark in run:
        size, span = len(word.text), word.end - word.start
        letters += [before[word.start + span * i // size] for i in range(size)] + [-1] * len(mark)
    letters = [letter for letter, size in zip(letters, sizes, strict=True) for _ in range(size)]
    return Spoken("zh", text, tuple(phones), tuple(sizes), tuple(letters))


def _english(run: list[tuple[Word, str]], lead: str, piece: str, before: list[int]) -> Spoken:
    phones, letters = ([lead], [-1]) if lead else ([], [])
    for (word, mark), sounds in zip(run, pronounced([word for word, _ in run], piece), strict=True):
        phones += [*sounds, mark] if mark else sounds
        letters += [before[word.start]] * len(sounds) + [-1] * len(mark)
    text = lead + " ".join(word.text + mark for word, mark in run)
    return Spoken("en", text, tuple(phones), letters=tuple(letters))
