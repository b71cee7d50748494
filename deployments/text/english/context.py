"""Words in their sentence: the sounds that depend on the neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.text.english.lexicon import PARTS, STRESS, VOWELS
from deployments.text.english.pronounce import Pronouncer
from deployments.text.normalise import Word
from deployments.text.phones import Phones

# Words without stress: at the end of a phrase, before a consonant, before a vowel.
WEAK = {"the": ("ði", "ðə", "ði"), "to": ("tu", "tə", "tʊ"), "a": ("ə", "ə", "ə")}

_DETERMINERS = frozenset(
    "such many all a an the this that these those my your his her its our their whose some any no every each another "
    "which one two three "
    "four five six seven eight nine ten of for with from by in on at about".split()
)
_TO_VERB = frozenset(
    "to will would can could shall should may might must do did don't doesn't didn't won't wouldn't can't "
    "cannot couldn't "
    "shouldn't let's please not never always often i'll we'll you'll they'll he'll she'll i'd we'd they'd "
    "you'd".split()
)
_SUBJECTS = frozenset("i you we they who people".split())
_BE = frozenset(
    "is are was were be been being am very so too quite more most as how it's that's i'm you're".split()
)
_MOSTLY_VERBS = frozenset(["live", "use", "uses"])
_OBJECTS = frozenset("a an the my your his her its our their this these those it them him us me".split())
_NEVER_BEFORE_OBJECT = frozenset(["minute", "lives", "wind", "tear", "tears", "mouth", "baths"])
_PERFECT = frozenset(
    "have has had having been was were i've you've we've they've hasn't haven't hadn't ever never already".split()
)
_THIRD = frozenset("he she it".split())  # "he read": the present would be "he reads"


def pronounce_words(words: Sequence[Word], pronouncer: Pronouncer) -> list[str | Phones]:
    """The phones of each word, in the context of the others: a string for an English one, a tuple for a Chinese one."""
    phones = [_in_context(words, i, pronouncer) for i in range(len(words))]
    for i, word in enumerate(words):
        if word.text in WEAK and isinstance(phones[i], str):
            following = phones[i + 1] if i + 1 < len(words) and not word.pause else ""
            vowel = isinstance(following, str) and following.lstrip(STRESS)[:1]
            phones[i] = WEAK[word.text][0 if not vowel else 2 if vowel in VOWELS else 1]
    return phones


def _in_context(words: Sequence[Word], index: int, pronouncer: Pronouncer) -> str | Phones:
    if (known := words[index].phones) is not None:
        return known
    text = words[index].text
    readings = {part: found for part in PARTS if (found := pronouncer.variant(text, part))}
    if not readings:
        return pronouncer.phones(text)
    before = words[index - 1].text if index and not words[index - 1].pause else ""
    after = words[index + 1].text if index + 1 < len(words) and not words[index].pause else ""
    part = None
    if "past" in readings and (before in _PERFECT or before in _THIRD):
        part = "past"
    elif "adjective" in readings and before in _BE:
        part = "adjective"
    elif _is_verb(text, before, after):
        part = "verb"
    elif before in _DETERMINERS:
        part = "noun"
    return readings.get(part or "") or pronouncer.phones(text)


def _is_verb(text: str, before: str, after: str) -> bool:
    if text == "does" or before in _TO_VERB or before in _SUBJECTS:
        return True
    if text in _MOSTLY_VERBS:
        return before in ("that", "which") or (before not in _DETERMINERS and before not in _BE)
    return after in _OBJECTS and before not in _DETERMINERS and text not in _NEVER_BEFORE_OBJECT
