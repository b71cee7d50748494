"""One word to phones: the lexicon, then names, then known parts, then letter-to-sound."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache

from deployments.text.english.letters import LetterModel, load_letters
from deployments.text.english.lexicon import (
    NAME,
    NAMES_FILE,
    PRIMARY,
    SECONDARY,
    STRESS,
    VOWELS,
    load_lexicon,
)

SIBILANTS = "szʃʒʧʤ"
VOICELESS = "ptkfθsʃʧhʔ"

CLITICS: Mapping[str, str] = {"'ll": "ᵊl", "'ve": "əv", "'re": "əɹ", "'m": "əm", "n't": "ᵊnt"}
# Endings that leave their stem as it is.
ENDINGS: Mapping[str, str] = {
    "fulness": "fᵊlnəs",
    "lessly": "ləsli",
    "fully": "fᵊli",
    "ness": "nəs",
    "less": "ləs",
    "ment": "mənt",
    "ship": "ʃˌɪp",
    "like": "lˌIk",
    "ful": "fᵊl",
    "ly": "li",
}
PREFIXES: Mapping[str, str] = {
    "counter": "kˌWntəɹ",
    "under": "ˌʌndəɹ",
    "over": "ˌOvəɹ",
    "micro": "mˌIkɹO",
    "auto": "ˌɔɾO",
    "non": "nˌɑn",
}
SHORTEST_STEM = 3  # letters
SHORTEST_HALF = 5  # letters of either half of a compound: with fewer, letter-to-sound does better

_SHORT = re.compile("(?:^|[^aeiou])[aeiouy][^aeiouwxy]$")
_FLAPPED = re.compile(f"[{VOWELS}]ɹ?t$")  # a t that an unstressed vowel turns into a flap


def plural_ending(stem: str) -> str:
    """stem: its phones."""
    if stem[-1] in SIBILANTS:
        return "ᵻz"
    return "s" if stem[-1] in VOICELESS else "z"


def with_ending(stem: str, ending: str) -> str:
    """The phones of a stem and an ending that begins with an unstressed vowel."""
    return (stem[:-1] + "ɾ" if _FLAPPED.search(stem) else stem) + ending


def past(stem: str) -> str:
    if stem[-1] in "td":
        return with_ending(stem, "ᵻd")
    return stem + ("t" if stem[-1] in VOICELESS else "d")


class Pronouncer:
    """Thread-safe; `phones` never returns nothing. names: further words, of which only plurals are derived."""

    def __init__(
        self, lexicon: Mapping[str, str], letters: LetterModel, names: Mapping[str, str] | None = None
    ) -> None:
        self.lexicon = lexicon
        self.letters = letters
        self.names = names or {}
        self.readings = _readings(lexicon)
        self.phones = lru_cache(maxsize=8192)(self._phones)

    def known(self, word: str) -> bool:
        return word in self.lexicon or bool(self.inflected(word)) or bool(self._name(word))

    def spell(self, word: str) -> str:
        """Letter names. The last one bears the primary stress."""
        *others, last = (self.lexicon[c] for c in word.upper() if "A" <= c <= "Z")
        return "".join(name.replace(PRIMARY, SECONDARY) for name in others) + last

    def _phones(self, word: str) -> str:
        """Phones of a word: lower case with apostrophes, or one capital, perhaps with 's, for a letter's name."""
        found = self.lexicon.get(word)
        if found is None and "'" in word:
            found = self._contracted(word)
        word = word.replace("'", "").lower()
        return (
            found
            or self.lexicon.get(word)
            or self._name(word)
            or self._parts(word)
            or self.letters.phones(word)
            or self.spell(word)
        )

    def _name(self, word: str) -> str | None:
        """A name, or the plural of one."""
        if found := self.names.get(word):
            return None if self.inflected(word) else found
        stem = self.names.get(word[:-1]) if word.endswith("s") and not word.endswith("ss") else None
        return stem and stem + plural_ending(stem)

    def _contracted(self, word: str) -> str | None:
        for ending, phones in CLITICS.items():
            if word.endswith(ending) and len(word) > len(ending):
                return with_ending(self.phones(word[: -len(ending)]), phones)
        if word.endswith("'s") and len(word) > 2:
            stem = self.phones(word[:-2])
            return stem + plural_ending(stem)
        if word.endswith("'d") and len(word) > 2:
            return past(self.phones(word[:-2]))
        return None

    def _parts(self, word: str) -> str | None:
        return self.inflected(word) or self._derived(word) or self._compound(word) or self._son(word)

    def _son(self, word: str) -> str | None:
        """McDonald"""
        if not word.startswith("mc") or len(word) < 5:
            return None
        name = self.lexicon.get(word[2:].title()) or self.phones(word[2:])
        return "mə" + ("" if name.lstrip(STRESS)[:1] == "k" else "k") + name

    def _stem(self, *spellings: str) -> str | None:
        for spelling in spellings:
            if len(spelling) >= SHORTEST_STEM and (found := self.lexicon.get(spelling)):
                return found
        return None

    def inflected(self, word: str) -> str | None:
        """The phones of a plural, a third person, a past or an -ing form of a listed word."""
        if word.endswith("s") and not word.endswith("ss"):
            stems = [word[:-1]]
            if word.endswith("ies"):
                stems = [word[:-3] + "y", word[:-1]]
            elif word.endswith(("ches", "shes", "ses", "xes", "zes", "oes")):
                stems = (
                    [word[:-1], word[:-2]]
                    if word[-4:-3] in "aiou" and word.endswith("ses")
                    else [word[:-2], word[:-1]]
                )
            stem = self._stem(*stems) or (self.inflected(word[:-1]) if word.endswith("ings") else None)
            return stem + plural_ending(stem) if stem else None
        if word.endswith("ed"):
            stem = self._stem(*_stems(word[:-2]), word[:-3] + "y" if word.endswith("ied") else "")
            return past(stem) if stem else None
        if word.endswith("ing"):
            stem = self._stem(*_stems(word[:-3]))
            return with_ending(stem, "ɪŋ") if stem else None
        return None

    def _derived(self, word: str) -> str | None:
        for ending, phones in ENDINGS.items():
            if word.endswith(ending):
                stem = self._stem(word[: -len(ending)])
                if stem:
                    return stem[:-1] + phones if stem[-1] == phones[0] == "l" else stem + phones
        for prefix, phones in PREFIXES.items():
            if word.startswith(prefix) and len(word) - len(prefix) > SHORTEST_STEM:
                stem = self.lexicon.get(word[len(prefix) :]) or self.inflected(word[len(prefix) :])
                if stem:
                    return phones + stem
        return None

    def _compound(self, word: str) -> str | None:
        """Two listed words, the shorter of them as long as possible."""
        middle = len(word) // 2
        for cut in sorted(range(SHORTEST_HALF, len(word) - SHORTEST_HALF + 1), key=lambda c: abs(c - middle)):
            head = self.lexicon.get(word[:cut])
            tail = head and (self.lexicon.get(word[cut:]) or self.inflected(word[cut:]))
            if head and tail:
                return head + tail.replace(PRIMARY, SECONDARY)
        return None


def _readings(lexicon: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
    """Of each word that can be read in several ways: part (of PARTS, or NAME) to phones."""
    found: dict[str, dict[str, str]] = {}
    for entry, phones in lexicon.items():
        word, _, part = entry.partition("/")
        if part:
            found.setdefault(word, {})[part] = phones
        elif entry.istitle() and len(entry) > 1:
            found.setdefault(entry.lower(), {})[NAME] = phones
    return found


def _stems(base: str) -> tuple[str, ...]:
    """Spellings of the word that `base` + ed or ing comes from: walk, bake, stop."""
    doubled = len(base) > 2 and base[-1] == base[-2] and base[-1] not in "aeiou"
    if doubled:
        return (base, base[:-1]) if base[-1] in "ls" else (base[:-1], base)
    if _SHORT.search(base):  # a single consonant behind a short vowel would have been doubled
        return (base + "e", base)
    return (base, base + "e")


@cache
def default_pronouncer() -> Pronouncer:
    return Pronouncer(load_lexicon(), load_letters(), load_lexicon(NAMES_FILE))
