"""Pronunciations that depend on the neighbouring words."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.text.english.pronounce import VOWEL_PHONES, Phones, Pronouncer
from deployments.text.normalise import Word

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
_READ_PRESENT = frozenset(
    "to can can't cannot could couldn't will won't would shall should may might must do don't let's".split()
)

_LEAD = {"v": ("l", "iy", "d"), "n": ("l", "eh", "d")}
_REED: Phones = ("r", "iy", "d")


def pronounce_words(words: Sequence[Word], pronouncer: Pronouncer) -> list[Phones]:
    """The phones of each word in its context."""
    phones = [_in_context(words, i, pronouncer) for i in range(len(words))]
    for i, word in enumerate(words[:-1]):
        if word.text == "the" and not word.pause and phones[i + 1][0] in VOWEL_PHONES:
            phones[i] = ("dh", "iy")
    return phones


def _in_context(words: Sequence[Word], index: int, pronouncer: Pronouncer) -> Phones:
    if (known := words[index].phones) is not None:
        return known
    text = words[index].text
    before = words[index - 1].text if index and not words[index - 1].pause else ""
    if text in ("read", "lead"):
        if before in _READ_PRESENT:
            return _REED if text == "read" else _LEAD["v"]
        return pronouncer.phones(text)
    verb, adjective = pronouncer.variant(text, "v"), pronouncer.variant(text, "j")
    if verb is None and adjective is None:
        return pronouncer.phones(text)
    after = words[index + 1].text if index + 1 < len(words) and not words[index].pause else ""
    if adjective and before in _BE:
        return adjective
    if verb and _is_verb(text, before, after):
        return verb
    return pronouncer.phones(text)


def _is_verb(text: str, before: str, after: str) -> bool:
    if text == "does" or before in _TO_VERB or before in _SUBJECTS:
        return True
    if text in _MOSTLY_VERBS:
        return before in ("that", "which") or (before not in _DETERMINERS and before not in _BE)
    return after in _OBJECTS and before not in _DETERMINERS and text not in _NEVER_BEFORE_OBJECT
