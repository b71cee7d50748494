"""The phone sets of the family's weights: the symbols that the GPT reads, and how the frontend spells them.

- `flite`: ARPAbet without stress. All pauses are `pau`, except those that close a question or an exclamation.
- `stressed`: the lexicon's own phones. A vowel with stress is another symbol than one without, and a pause is named by
  its punctuation mark.

Mandarin is the same in both: initials, and finals with their spoken tones.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from deployments.families.small.arpabet import arpabet
from deployments.text.english.lexicon import CONSONANTS, STRESS, VOWELS
from deployments.text.phones import EXCLAMATION, MANDARIN_PHONES, PAD, PAUSE, PHONES, QUESTION, Phones
from deployments.text.words import COMMA

PhoneSetName = Literal["flite", "stressed"]
_QUOTES = " \t\n\"')]”’"


@dataclass(frozen=True, eq=False)
class PhoneSet:
    """symbols: by id; 0 pads. english: the lexicon's phones of a word to symbols. pauses: by `Word.pause`; the first
    opens a segment. closings: of a segment by the last sign of its sentence; `stop` without such a sign."""

    symbols: tuple[str, ...]
    english: Callable[[str], Phones]
    pauses: tuple[str, ...]
    closings: Mapping[str, str]
    stop: str

    def __post_init__(self) -> None:
        table = {symbol: index for index, symbol in enumerate(self.symbols)}
        ids = lru_cache(maxsize=16384)(lambda symbols: tuple(table[symbol] for symbol in symbols))
        object.__setattr__(self, "_ids", ids)

    def ids(self, symbols: Phones) -> tuple[int, ...]:
        """Raises KeyError for an unknown symbol."""
        return self._ids(symbols)  # pyright: ignore[reportAttributeAccessIssue]

    def closing(self, sentence: str) -> str:
        """The symbol after a whole sentence."""
        return self.closings.get(sentence.rstrip(_QUOTES)[-1:], self.stop)

    def cut(self, pause: int) -> str:
        """The symbol where a sentence is cut: after a sign (`Word.pause`), or between two words."""
        return self.pauses[max(pause, COMMA)]


OPENING = "^"
_SAME = str.maketrans({"ɐ": "ə", "T": "ɾ", "ʔ": "t"})  # variants in misaki's notation


@lru_cache(maxsize=8192)
def stressed(phones: str) -> Phones:
    """Phones in the lexicon's notation to symbols, with the stress mark in front of its vowel: `hˈæpi` is h ˈæ p i."""
    symbols, mark = [], ""
    for phone in phones.translate(_SAME):
        if phone in STRESS:
            mark = phone
        elif phone in VOWELS:
            symbols.append(mark + phone)
            mark = ""
        else:
            symbols.append(phone)
    return tuple(symbols)


_SIGNS = (OPENING, ",", ";", "—", "…", ".", "?", "!")
_ENGLISH = (*CONSONANTS.replace("ʔ", ""), *(mark + vowel for mark in ("", *STRESS) for vowel in VOWELS))

PHONE_SETS: dict[PhoneSetName, PhoneSet] = {
    "flite": PhoneSet(PHONES, arpabet, (PAUSE,) * 5, {"?": QUESTION, "!": EXCLAMATION}, PAUSE),
    "stressed": PhoneSet(
        (PAD, *_SIGNS, *_ENGLISH, *MANDARIN_PHONES),
        stressed,
        _SIGNS[:5],
        {"?": "?", "!": "!", "…": "…"},
        ".",
    ),
}
