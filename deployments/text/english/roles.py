"""The part of speech of a word, guessed from its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from deployments.text.english.word_classes import MODIFIERS, tag

# Behind these, "to" is a preposition.
_BEFORE_PREPOSITION_TO = frozenset(
    "according due thanks access response addition contrast damage regard relation prior addicted exposed attached "
    "similar close closer promoted appointed subject".split()
)
_HELPERS = frozenset("let lets make makes made help helped saw see watch watched hear heard had have".split())
_AUXILIARIES = frozenset(
    "do does did don't doesn't didn't will would can could shall should may might must won't can't couldn't "
    "wouldn't".split()
)
# What follows a noun, but hardly ever a verb in its base form.
_AFTER_NOUN = frozenset("of is are was were has had will would can could may might must should".split())
_TIMES = frozenset(
    "week month year morning afternoon evening night day time summer winter spring autumn".split()
)


class Sentence:
    """The words of a sentence, in lower case. `ends`: whether a pause follows each word."""

    def __init__(self, words: Sequence[str], ends: Sequence[bool]) -> None:
        self.words = words
        self.ends = ends

    @cached_property
    def all(self) -> frozenset[str]:
        return frozenset(self.words)

    @cached_property
    def has_past(self) -> bool:
        """Whether a word looks like a past form."""
        return any(len(word) > 4 and word.endswith("ed") for word in self.all)

    def before(self, index: int, distance: int = 1) -> str:
        """The word that many places before, or an empty string where the phrase has none."""
        at = index - distance
        return "" if at < 0 or any(self.ends[at:index]) else self.words[at]

    def after(self, index: int, distance: int = 1) -> str:
        at = index + distance
        return "" if at >= len(self.words) or any(self.ends[index:at]) else self.words[at]

    def past_adverbs(self, index: int) -> int:
        """How far before `index` the nearest word stands that is no adverb; at most 4."""
        distance = 1
        while distance < 4 and tag(self.before(index, distance)) == "adverb":
            distance += 1
        return distance

    def object_follows(self, index: int) -> bool:
        """Whether a determiner or a pronoun follows, and not one of time: this week."""
        after = self.after(index)
        begins = tag(after) in ("determiner", "object", "it", "number") and after != "one"
        return begins and self.after(index, 2) not in _TIMES

    def opening(self, index: int) -> str:
        """The first word of the phrase, or the one four places before."""
        at = index
        while at > max(0, index - 4) and not self.ends[at - 1]:
            at -= 1
        return self.words[at]

    def asked(self, index: int) -> bool:
        """Whether an auxiliary before the subject makes the word a verb: did your sister read."""
        for distance in range(2, 7):
            word = self.before(index, distance)
            if word in _AUXILIARIES:
                opens = self.opening(index - distance)
                inverted = opens == word or tag(opens) in (
                    "subordinator",
                    "relative",
                    "conjunction",
                    "degree",
                )
                return inverted and tag(self.before(index, distance - 1)) != "subject"
            if tag(word) in ("", "modal", "be", "have", "object"):
                return False
        return False

    def role(self, index: int) -> str:
        """ "verb", "noun", "adjective", or "" where the neighbours do not tell."""
        return self._before_a_subject(index) or self._behind_a_noun(index)

    def _before_a_subject(self, index: int, start: bool = True) -> str:
        """What the word before says, unless it may be the subject. start: whether to look at the start of a clause."""
        distance = self.past_adverbs(index)
        word, earlier = self.before(index, distance), self.before(index, distance + 1)
        kind, with_s = tag(word), ends_in_s(self.words[index])
        if tag(self.before(index)) == "degree":
            return "adjective"
        if word == "to":
            return "noun" if with_s or earlier in _BEFORE_PREPOSITION_TO else "verb"
        if kind in ("subject", "it") and tag(earlier) == "be" and not self.before(index, distance + 2):
            return "adjective"  # was it
        if kind in ("modal", "subject", "object") or (word == "her" and earlier in _HELPERS):
            return "verb"
        if kind == "it":
            return "verb" if with_s or earlier in _HELPERS or earlier in _AUXILIARIES else ""
        if kind in ("be", "have"):
            return "adjective"
        if kind == "relative" and (word == "which" or with_s or tag(earlier) == "plural"):
            return "noun" if with_s and tag(self.after(index)) in ("be", "have", "modal") else "verb"
        if word == "this" and with_s:
            return "verb"
        if word in ("all", "both", "each") and (
            tag(earlier) in ("modal", "subject") or self.object_follows(index)
        ):
            return "verb"
        if kind == "number" and self.after(index) in ("it", "them", "him", "me", "us"):
            return "verb"  # first record it
        if word == "what":
            return "verb" if with_s and self.object_follows(index) else "noun"
        if kind in ("determiner", "number", "preposition", "adjective", "relative", "verb"):
            return "noun"
        if kind == "plural" and tag(earlier) in ("it", "subject"):  # she needs
            return "noun"
        if start and kind in ("", "conjunction", "subordinator", "adverb"):
            return self._at_start(index, distance, kind)
        return ""

    def _at_start(self, index: int, distance: int, kind: str) -> str:
        """At the start of a clause: a command, unless the words before a conjunction say otherwise."""
        after = self.after(index)
        if after in _AFTER_NOUN or after.endswith("'s") or (kind == "subordinator" and not after):
            return "noun"
        if self.object_follows(index) or after == "that" or self.before(index) in ("never", "always"):
            return "verb"
        if kind == "conjunction" and self.before(index, distance + 1):
            return self._before_a_subject(index - distance - 1, start=False)
        return ""

    def _behind_a_noun(self, index: int) -> str:
        """A verb where the noun before is its subject, a noun where the two are one name."""
        distance = self.past_adverbs(index)
        word, earlier, after = (
            self.before(index, distance),
            self.before(index, distance + 1),
            self.after(index),
        )
        kind = tag(word)
        if kind not in ("noun", "plural"):
            return ""
        if after in _AFTER_NOUN:
            return "noun"
        if self.asked(index):
            return "verb"
        if ends_in_s(self.words[index]):
            if after == "for" or (kind == "plural" and earlier != "of"):
                return "noun"
            if self.object_follows(index) or tag(after) in ("adverb", "degree") or after in ("to", "by"):
                return "verb"
            return "" if after or tag(self.opening(index)) in ("subordinator", "degree") else "noun"
        if word in MODIFIERS and tag(earlier) in ("determiner", "adjective", "number"):
            return "noun"
        of_plural = earlier == "of" and tag(self.before(index, distance + 2)) == "plural"
        if kind == "plural" or self.object_follows(index) or (of_plural and after in ("with", "between")):
            return "verb"
        return "" if earlier == "and" or distance > 1 else "noun"  # a single subject asks for an s


def ends_in_s(word: str) -> bool:
    """As plurals and third persons do: no verb behind "to", no noun behind "it"."""
    return word.endswith("s") and not word.endswith("ss")
