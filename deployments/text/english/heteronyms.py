"""Words that are written alike and read differently: lead, read, live, Polish."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.text.english.lexicon import NAME
from deployments.text.english.roles import Sentence
from deployments.text.english.senses import DEFAULT, SENSES, nearest
from deployments.text.english.word_classes import tag
from deployments.text.english.word_rules import NO_NOUN, RULES


def reading(sentence: Sentence, index: int, written: str, parts: Mapping[str, str]) -> str:
    """The part (a key of `parts`) that a word has here, or `DEFAULT`, its most frequent reading.

    written: the word as it is in the text, with its capitals.
    """
    word = sentence.words[index]
    if NAME in parts and written.istitle() and _is_name(sentence, index):
        return NAME
    role = sentence.role(index)
    if role != "verb" and (senses := SENSES.get(word)) and (found := nearest(senses, sentence, index)):
        return found.part
    if rule := RULES.get(word):
        role = rule(sentence, index, role)
    if role in parts:
        return role
    if "verb" not in parts and role == "adjective":  # the default is the verb: laminate flooring
        return "noun"
    if "verb" not in parts and role == "noun" and word.endswith(("ate", "use")):  # a deliberate mistake
        return "adjective"
    return DEFAULT


def _is_name(sentence: Sentence, index: int) -> bool:
    """Whether a word with a capital is the name, rather than a common word at the start or in a title."""
    word, before, after = sentence.words[index], sentence.before(index), sentence.after(index)
    if word == "polish":
        polishes = sentence.role(index) == "verb" and (not before or tag(after) == "determiner")
        return before not in ("shoe", "nail", "floor", "furniture") and not polishes
    if word in ("reading", "mobile", "nice"):
        placed = before in ("in", "to", "from", "near", "at", "outside", "via")
        return after == "alabama" or (placed and tag(after) in (*NO_NOUN, "number"))
    return True
