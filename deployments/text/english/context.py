"""Words in their sentence: the sounds that depend on the neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.text.english.heteronyms import reading
from deployments.text.english.lexicon import STRESS, VOWELS
from deployments.text.english.pronounce import Pronouncer
from deployments.text.english.roles import Sentence
from deployments.text.phones import Phones
from deployments.text.words import Word

# Words without stress: at the end of a phrase, before a consonant, before a vowel.
WEAK = {"the": ("ði", "ðə", "ði"), "to": ("tu", "tə", "tʊ"), "a": ("ə", "ə", "ə")}


def pronounce_words(words: Sequence[Word], text: str, pronouncer: Pronouncer) -> list[str | Phones]:
    """The phones of each word of a sentence: a string for an English one, a tuple for a Chinese one.

    text: where the words stand, for their capitals.
    """
    phones: list[str | Phones] = []
    ambiguous: list[int] = []
    weak: list[int] = []
    pronounced, readings = pronouncer.phones, pronouncer.readings
    for i, word in enumerate(words):
        if word.phones is not None:
            phones.append(word.phones)
            continue
        phones.append(pronounced(word.text))
        if word.text in readings:
            ambiguous.append(i)
        if word.text in WEAK:
            weak.append(i)
    if ambiguous:
        sentence = Sentence([word.text for word in words], [bool(word.pause) for word in words])
        for i in ambiguous:
            parts = pronouncer.readings[words[i].text]
            part = reading(sentence, i, text[words[i].start : words[i].end], parts)
            phones[i] = parts.get(part, phones[i])
    for i in weak:
        word = words[i]
        following = phones[i + 1] if i + 1 < len(words) and not word.pause else ""
        vowel = isinstance(following, str) and following.lstrip(STRESS)[:1]
        phones[i] = WEAK[word.text][0 if not vowel else 2 if vowel in VOWELS else 1]
    return phones
