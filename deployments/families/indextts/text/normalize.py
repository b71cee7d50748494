"""Normalises text for reading aloud: writes out numbers, dates and signs, and reduces the punctuation."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from typing import Literal, cast

from deployments.families.indextts.text.repairs import after_english, before_chinese, before_english

Reading = Literal["zh", "en"]

LONG_LINE = 200  # characters; longer lines are normalised sentence by sentence
LONG_SENTENCE = 400  # characters; longer ones are split: a grammar takes about 50 kB per character

_HELD = "\ue000"  # placeholder for a protected word while the grammar runs; a private-use character, removed from texts
_CJK = r"[\u4e00-\u9fff]"
_FINALS = (
    "iang|iong|uang|vang|üang|ang|eng|ing|ong|ian|iao|uai|uan|van|üan|an|en|in|un|vn|ai|ei|ua|ui|uo|ao|ou|ia|ie|iu"
    "|ue|ve|üe|a|e|i|o|u|v|ü"
)
# A syllable with its tone. With another digit, it is a model number ("A380").
_SYLLABLE = rf"(?<![A-Za-zÀ-ɏ])(?i:(?:(?:[zcs]h|[bpmfdtnlgkhjqxzcsryw])?(?:{_FINALS})|ng|er)[1-5])(?!\.?\d)"
_NAME = rf"(?<!{_CJK}){_CJK}+(?:[-·—]{{1,2}}{_CJK}+)+"
_PINYIN = re.compile(_SYLLABLE)
_PROTECTED = re.compile(f"{_SYLLABLE}|{_NAME}")
_U_AFTER_JQX = re.compile(r"(?<=^[jqx])[uü]", re.IGNORECASE)
_EMAIL = re.compile(r"[A-Za-z0-9]+@[A-Za-z0-9]+\.[A-Za-z]+")
_IS = re.compile(
    r"(?<![A-Za-z])(what|where|who|which|how|there|here|it|she|he|that|this)['’]s(?![A-Za-z])", re.IGNORECASE
)
_SENTENCE_END = re.compile(
    r"(?<=[。！？；])(?![。！？；”’」』）])|(?<=[!?])(?= )|(?<=[A-Za-z]{5}\.)(?= [A-Z])"
)
_PARTS = re.compile(rf".{{1,{LONG_SENTENCE}}}(?:(?<=[ ，、])|(?<=,)(?!\d)|$)|.{{1,{LONG_SENTENCE}}}")
_CORE = re.compile(r"\S(?:.*\S)?")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*", re.ASCII)

_INTERJECTIONS = str.maketrans({"嗯": "恩", "呣": "母"})
_CHARACTERS = {
    "...": "…", ",,,": "…", "……": "…", "\n": " ",
    **dict.fromkeys("：:；;，、", ","), "。": ".", "！": "!", "？": "?", **dict.fromkeys("·—～~", "-"),
    **dict.fromkeys("“”‘’\"'（）()【】[]《》〈〉「」『』", "'"),
}  # fmt: skip
_PUNCTUATION = re.compile("|".join(map(re.escape, _CHARACTERS)))


class Normalizer:
    """Written text to spoken text, in the form that the published model was trained on. Thread-safe.

    It uses the compiled grammars in the `wetext` package, which are loaded for the first text (0.5 s, about 45 MB).
    Lines of more than `LONG_LINE` characters are normalised sentence by sentence, with the same result; so memory is
    bounded, and time is linear in the length (up to 0.3 ms per character).

    Unlike the published rules, it restores protected words by position, not by name; a syllable with a digit after its
    tone is not pinyin; a curly apostrophe before "s" equals a straight one; text that a grammar rejects is normalised
    word by word (English) or left unchanged; `repairs` are applied.
    """

    def reading_of(self, text: str) -> Reading:
        """Chinese if the text has a Chinese character, a pinyin syllable, no Latin letter, or is an e-mail address."""
        chinese = (
            re.search(_CJK, text)
            or not re.search(r"[A-Za-z]", text)
            or _EMAIL.fullmatch(text.strip())
            or _PINYIN.search(text)
        )
        return "zh" if chinese else "en"

    def __call__(self, text: str, reading: Reading | None = None) -> str:
        """Never fails. The result is empty for text without a visible character. `reading` overrides `reading_of`."""
        reading = reading or self.reading_of(text)
        text = _IS.sub(r"\1 is", text.translate(_INTERJECTIONS))
        say = _chinese if reading == "zh" else _english
        spoken = " ".join(say(line) for line in _lines(text))
        if reading == "zh":
            spoken = spoken.replace("$", ".")
        return _PUNCTUATION.sub(lambda m: _CHARACTERS[m[0]], spoken)


def _lines(text: str) -> Iterator[str]:
    """The non-empty lines. Whitespace and control characters become single spaces; invisible characters are removed."""
    for line in text.splitlines():
        visible = "".join(c if c.isprintable() else _blank(c) for c in line)
        if words := visible.split():
            yield " ".join(words)


def _blank(character: str) -> str:
    return " " if character.isspace() or unicodedata.category(character) == "Cc" else ""


def _chinese(line: str) -> str:
    held = [_spelled(word) for word in _PROTECTED.findall(line)]
    line = before_chinese(_PROTECTED.sub(_HELD, line))
    spoken = _by_sentence(line, lambda sentence: _through_grammar("zh", sentence) or sentence)
    restored = iter(held)
    return re.sub(_HELD, lambda _: next(restored), spoken)


def _english(line: str) -> str:
    return _by_sentence(before_english(line), _english_sentence)


def _english_sentence(sentence: str) -> str:
    """Normalises word by word if the grammar rejects the sentence, as it does for some characters next to digits."""
    if (spoken := _through_grammar("en", sentence)) is None:
        spoken = re.sub(r"\S+", lambda m: _through_grammar("en", m[0]) or _english_numbers(m[0]), sentence)
    return after_english(spoken, sentence)


def _english_numbers(word: str) -> str:
    return _NUMBER.sub(lambda m: f" {_through_grammar('en', m[0]) or m[0]} ", word)


def _by_sentence(line: str, say: Callable[[str], str]) -> str:
    """Applies `say` to the line, or to each part of a long one. Spaces between parts are kept."""
    parts = [line]
    if len(line) > LONG_LINE:
        parts = [part for sentence in _SENTENCE_END.split(line) for part in _PARTS.findall(sentence)]
    return "".join(_CORE.sub(lambda m: say(m[0]), part) for part in parts)


def _through_grammar(reading: Reading, sentence: str) -> str | None:
    """The grammar's reading, or None if it finds none, or loses or doubles a protected word."""
    try:
        spoken = _grammar(reading)(sentence)
    except Exception:  # the grammars' errors have no common type (an assertion, in most cases)
        return None
    return spoken if spoken and spoken.count(_HELD) == sentence.count(_HELD) else None


@cache
def _grammar(reading: Reading) -> Callable[[str], str]:
    import wetext

    # The published model's settings: half-width characters (Chinese); interjections and er-endings are kept.
    grammar = wetext.Normalizer(lang=reading, operator="tn", full_to_half=reading == "zh")
    return cast(Callable[[str], str], grammar.normalize)


def _spelled(word: str) -> str:
    """A protected word in the vocabulary's spelling: the rounded vowel after j, q and x is V (XUAN4 -> XVAN4)."""
    changed = _U_AFTER_JQX.sub("v", word)
    return changed if changed == word else changed.upper()
