"""English words to ARPAbet with stress, in the pronunciations that the published weights learnt: those of CMUdict.

NOTICE: cmudict.txt.gz holds the first pronunciation of each word of the CMU Pronouncing Dictionary, 2-clause BSD: see
LICENSE-cmudict.txt in this folder. Entries with digits or stops, and comments, are left out.

Words that are written alike and read differently follow their context. What CMUdict lacks comes from this project's
lexicon and rules (`deployments.text.english`).
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from deployments.text.english.heteronyms import reading
from deployments.text.english.lexicon import PRIMARY, STRESS
from deployments.text.english.pronounce import default_pronouncer, plural_ending
from deployments.text.english.roles import Sentence
from deployments.text.words import Word

Phones = tuple[str, ...]

# Read as words or as letters by the published system where CMUdict has a name or a rare word
_LEFT_OUT = frozenset("ae ai ar ios hud os".split())
_LETTERS_OF_ARTICLE: Phones = ("EY1",)

_VOWELS = {
    "ɜɹ": "ER", "əɹ": "ER", "A": "EY", "I": "AY", "O": "OW", "W": "AW", "Y": "OY", "ə": "AH", "ᵊ": "AH", "i": "IY",
    "u": "UW", "ɑ": "AA", "ɔ": "AO", "ɛ": "EH", "ɜ": "ER", "ɪ": "IH", "ᵻ": "IH", "ʊ": "UH", "ʌ": "AH", "æ": "AE",
}  # fmt: skip
_CONSONANTS = {
    "j": "Y", "h": "HH", "ɡ": "G", "ŋ": "NG", "ɹ": "R", "ʃ": "SH", "ʒ": "ZH", "ð": "DH", "θ": "TH", "ʤ": "JH",
    "ʧ": "CH", "ɾ": "T", "ʔ": "T",
}  # fmt: skip
_SOUND = re.compile(f"([{STRESS}]?)([əɜ]ɹ|.)")
_SPELLED = 3  # letters: a longer unknown word is read as a word
_MEAN_PART = 4  # letters: an unknown word is a compound if its parts have at least so many on average


@cache
def dictionary() -> Mapping[str, Phones]:
    """Lower-case words and their phones."""
    text = gzip.decompress(Path(__file__).with_name("cmudict.txt.gz").read_bytes()).decode()
    entries = (line.split(" ") for line in text.split("\n"))
    return {word: tuple(sounds) for word, *sounds in entries if word not in _LEFT_OUT}


def pronounced(words: Sequence[Word], text: str) -> list[Phones]:
    """The phones of each word of a sentence. text: where the words stand, for their capitals.

    A word that is one capital is the name of that letter.
    """
    found = [word_phones(word.text) for word in words]
    readings = default_pronouncer().readings
    if ambiguous := [i for i, word in enumerate(words) if word.text in readings]:
        sentence = Sentence([word.text for word in words], [bool(word.pause) for word in words])
        for i in ambiguous:
            word, parts = words[i], readings[words[i].text]
            part = reading(sentence, i, text[word.start : word.end], parts)
            if sounds := parts.get(part) or default_pronouncer().lexicon.get(word.text):
                found[i] = arpabet(sounds)
    return found


@lru_cache(maxsize=32768)
def word_phones(word: str) -> Phones:
    """The phones of a word outside any context, in lower case, or of a letter's name, as a capital."""
    known = dictionary()
    if len(word) == 1 and word.isupper():
        return _LETTERS_OF_ARTICLE if word == "A" else known[word.lower()]
    word = word.lower()
    if word in known:
        return known[word]
    if "-" in word:
        return tuple(sound for part in word.split("-") if part for sound in word_phones(part))
    if word.endswith("'s") and len(word) > 2:
        stem = default_pronouncer().phones(word[:-2])
        return word_phones(word[:-2]) + arpabet(plural_ending(stem))
    pronouncer = default_pronouncer()
    if len(word) <= _SPELLED and not pronouncer.known(word):
        return tuple(sound for letter in word if letter.isalpha() for sound in word_phones(letter.upper()))
    if not pronouncer.known(word) and (parts := _compound(word)):
        return tuple(sound for part in parts for sound in known[part])
    return arpabet(pronouncer.phones(word))


@lru_cache(maxsize=32768)
def arpabet(sounds: str) -> Phones:
    """The lexicon's notation as ARPAbet; a vowel has the digit of its stress: 1 primary, 2 secondary, 0 none."""
    found = []
    for stress, sound in _SOUND.findall(sounds):
        if sound in _VOWELS:
            found.append(_VOWELS[sound] + ("1" if stress == PRIMARY else "2" if stress else "0"))
        else:
            found.append(_CONSONANTS.get(sound, sound.upper()))
    return tuple(found)


def _compound(word: str) -> list[str] | None:
    """The fewest known words that `word` is made of, the longest first among equals; None if they are too short."""
    known, lexicon = dictionary(), default_pronouncer().lexicon
    best: list[list[str] | None] = [[], *[None] * len(word)]
    for end in range(2, len(word) + 1):
        for start in range(end - 1):
            before, part = best[start], word[start:end]
            if before is None or part not in known or (len(part) > 2 and part not in lexicon):
                continue
            now = best[end]
            if now is None or len(before) + 1 < len(now):
                best[end] = [*before, part]
    found = best[-1]
    return found if found and len(found) * _MEAN_PART <= len(word) else None
