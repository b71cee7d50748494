"""Letter-to-sound: the phones of a word that the lexicon does not have.

A table of contexts, made by training/letters.py. Letters are turned to sound from left to right; each letter gives
no sound, one or two. The context of a letter is a string of the letters around it and the sounds already given, the
most telling first; the longest prefix of it that the table holds decides.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deployments.text.english.lexicon import PRIMARY, SECONDARY, VOWELS

LETTERS_FILE = Path(__file__).with_name("letters.txt.gz")

# A number is a letter that far away; "a" and "b" are the last sound and the one before it.
CONTEXT: tuple[int | str, ...] = (0, 1, 2, -1, "a", 3, -2, 4, "b", -3, 5)
EDGE = "#"
_FIRST_SOUND = 0xC0  # sounds are numbered from this code point, so that no letter is one
_REACH = 6
_FULL_VOWEL = re.compile(f"[{VOWELS.replace('ə', '').replace('ᵊ', '').replace('ᵻ', '')}]")


@dataclass(frozen=True)
class LetterModel:
    """sounds: the phones of each sound; table: context to the sound's character."""

    sounds: Sequence[str]
    table: Mapping[str, str]

    def phones(self, word: str) -> str:
        """word: lower-case letters. The result has one primary stress, if it has a vowel."""
        padded = pad(word)
        history = [EDGE, EDGE]
        phones: list[str] = []
        for index in range(len(word)):
            context = context_of(padded, index, history)
            length = len(context)
            while (sound := self.table.get(context[:length])) is None and length:
                length -= 1
            sound = sound or sound_character(0)
            history.append(sound)
            phones.append(self.sounds[ord(sound) - _FIRST_SOUND])
        return stressed_once("".join(phones))

    def save(self, path: Path = LETTERS_FILE) -> None:
        lines = [" ".join(s or "_" for s in self.sounds)] + [k + v for k, v in sorted(self.table.items())]
        path.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))


def stressed_once(phones: str) -> str:
    """The first primary stress stays, later ones become secondary; the first full vowel gets a missing one."""
    if PRIMARY in phones:
        head, _, tail = phones.partition(PRIMARY)
        return head + PRIMARY + tail.replace(PRIMARY, SECONDARY)
    if SECONDARY in phones:
        return phones.replace(SECONDARY, PRIMARY, 1)
    vowel = _FULL_VOWEL.search(phones) or re.search(f"[{VOWELS}]", phones)
    return f"{phones[: vowel.start()]}{PRIMARY}{phones[vowel.start() :]}" if vowel else phones


def pad(word: str) -> str:
    return EDGE * _REACH + word + EDGE * _REACH


def sound_character(index: int) -> str:
    return chr(_FIRST_SOUND + index)


def context_of(padded: str, index: int, history: Sequence[str]) -> str:
    """The context of letter `index`; `padded` has `_REACH` edge marks at both ends, `history` at least two sounds."""
    at = index + _REACH
    return "".join(
        padded[at + f] if isinstance(f, int) else history[-1] if f == "a" else history[-2] for f in CONTEXT
    )


@cache
def load_letters(path: Path = LETTERS_FILE) -> LetterModel:
    first, *lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    sounds = [s.strip("_") for s in first.split(" ")]
    return LetterModel(sounds, {line[:-1]: line[-1] for line in lines})
