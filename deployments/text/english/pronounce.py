"""One word to phones: from the lexicon, else from its known parts, else by letter-to-sound rules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache

from deployments.text.english.letters import LetterModel, load_letters
from deployments.text.english.lexicon import decode, load_lexicon

Phones = tuple[str, ...]

SIBILANTS = frozenset("s z sh zh ch jh".split())
VOICELESS = frozenset("p t k f th s sh ch hh".split())
VOWEL_PHONES = frozenset("aa ae ah ao aw ax ay eh er ey ih iy ow oy uh uw".split())

CLITICS: Mapping[str, Phones] = {
    "'ll": ("ax", "l"),
    "'ve": ("ax", "v"),
    "'re": ("er",),
    "'m": ("ax", "m"),
    "n't": ("ax", "n", "t"),
}
# Endings that do not change their stem.
ENDINGS: Mapping[str, Phones] = {
    "fulness": ("f", "ax", "l", "n", "ax", "s"),
    "lessly": ("l", "ax", "s", "l", "iy"),
    "fully": ("f", "ax", "l", "iy"),
    "ness": ("n", "ax", "s"),
    "less": ("l", "ax", "s"),
    "ment": ("m", "ax", "n", "t"),
    "ship": ("sh", "ih", "p"),
    "like": ("l", "ay", "k"),
    "ful": ("f", "ax", "l"),
    "ly": ("l", "iy"),
}
PREFIXES: Mapping[str, Phones] = {
    "counter": ("k", "aw", "n", "t", "er"),
    "under": ("ah", "n", "d", "er"),
    "over": ("ow", "v", "er"),
    "micro": ("m", "ay", "k", "r", "ow"),
    "auto": ("ao", "t", "ow"),
    "non": ("n", "aa", "n"),
}
SHORTEST_STEM = 3  # letters
SHORTEST_HALF = 5  # letters in each half of a compound; with fewer, letter-to-sound rules are better


def plural_ending(stem: Phones, vowel: str = "ih") -> Phones:
    if stem[-1] in SIBILANTS:
        return (vowel, "z")
    return ("s",) if stem[-1] in VOICELESS else ("z",)


def past_ending(stem: Phones) -> Phones:
    if stem[-1] in "td":
        return ("ih", "d")
    return ("t",) if stem[-1] in VOICELESS else ("d",)


class Pronouncer:
    """Thread-safe. `phones` never returns an empty tuple."""

    def __init__(self, lexicon: Mapping[str, str], letters: LetterModel) -> None:
        self.lexicon = lexicon
        self.letters = letters
        self.phones = lru_cache(maxsize=8192)(self._phones)

    def known(self, word: str) -> bool:
        return word in self.lexicon

    def variant(self, word: str, part: str) -> Phones | None:
        """The phones of `word` as a verb ("v") or an adjective ("j"), if they differ; else None."""
        found = self.lexicon.get(f"{word}/{part}")
        return decode(found) if found else None

    def spell(self, word: str) -> Phones:
        return tuple(p for c in word.upper() if "A" <= c <= "Z" for p in decode(self.lexicon[c]))

    def _phones(self, word: str) -> Phones:
        """word: lower case with apostrophes, or a letter's name: one capital, with or without 's."""
        found = self._listed(word)
        if found is None and "'" in word:
            found = self._contracted(word)
        word = word.replace("'", "").lower()
        return (
            found or self._listed(word) or self._parts(word) or self.letters.phones(word) or self.spell(word)
        )

    def _listed(self, word: str) -> Phones | None:
        signs = self.lexicon.get(word)
        return decode(signs) if signs else None

    def _contracted(self, word: str) -> Phones | None:
        for ending, phones in CLITICS.items():
            if word.endswith(ending) and len(word) > len(ending):
                return self.phones(word[: -len(ending)]) + phones
        if word.endswith("'s") and len(word) > 2:
            stem = self.phones(word[:-2])
            return stem + plural_ending(stem, "ax")
        if word.endswith("'d") and len(word) > 2:
            stem = self.phones(word[:-2])
            return stem + past_ending(stem)
        return None

    def _parts(self, word: str) -> Phones | None:
        return self._inflected(word) or self._derived(word) or self._compound(word)

    def _stem(self, *spellings: str) -> Phones | None:
        for spelling in spellings:
            if len(spelling) >= SHORTEST_STEM and (found := self._listed(spelling)):
                return found
        return None

    def _inflected(self, word: str) -> Phones | None:
        if word.endswith("s") and not word.endswith("ss"):
            stems = [word[:-1]]
            if word.endswith("ies"):
                stems = [word[:-3] + "y", word[:-1]]
            elif word.endswith(("ches", "shes", "sses", "xes", "zes", "oes")):
                stems = [word[:-2], word[:-1]]
            stem = self._stem(*stems)
            return stem + plural_ending(stem) if stem else None
        if word.endswith("ed"):
            stem = self._stem(*_stems(word[:-2]), word[:-3] + "y" if word.endswith("ied") else "")
            return stem + past_ending(stem) if stem else None
        if word.endswith(("ing", "ings")):
            plural = word.endswith("s")
            stem = self._stem(*_stems(word[: -4 if plural else -3]))
            return stem + ("ih", "ng") + (("z",) if plural else ()) if stem else None
        return None

    def _derived(self, word: str) -> Phones | None:
        for ending, phones in ENDINGS.items():
            if word.endswith(ending):
                stem = self._stem(word[: -len(ending)])
                if stem:
                    return stem[:-1] + phones if stem[-1] == phones[0] == "l" else stem + phones
        for prefix, phones in PREFIXES.items():
            if word.startswith(prefix) and len(word) - len(prefix) > SHORTEST_STEM:
                stem = self._listed(word[len(prefix) :]) or self._inflected(word[len(prefix) :])
                if stem:
                    return phones + stem
        return None

    def _compound(self, word: str) -> Phones | None:
        """Two listed words, split as close to the middle as possible."""
        middle = len(word) // 2
        for cut in sorted(range(SHORTEST_HALF, len(word) - SHORTEST_HALF + 1), key=lambda c: abs(c - middle)):
            head = self._listed(word[:cut])
            tail = head and (self._listed(word[cut:]) or self._inflected(word[cut:]))
            if head and tail:
                return head + tail
        return None


def _stems(base: str) -> tuple[str, ...]:
    """Possible spellings of the stem of `base` + ed or ing: walk, bake, stop."""
    doubled = len(base) > 2 and base[-1] == base[-2] and base[-1] not in "aeiou"
    if doubled:
        return (base, base[:-1]) if base[-1] in "ls" else (base[:-1], base)
    return (base, base + "e")


@cache
def default_pronouncer() -> Pronouncer:
    return Pronouncer(load_lexicon(), load_letters())
