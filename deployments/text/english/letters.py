"""Letter-to-sound rules: the phones of a word that is not in the lexicon.

training/lexicon.py makes the table of contexts. Letters are converted from left to right, each to zero, one or two
phones. A letter's context is a string of the letters around it and the sounds before it, the most informative first.
The longest prefix of the context in the table decides.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deployments.text.english.lexicon import decode

LETTERS_FILE = Path(__file__).with_name("letters.txt.gz")

# A number is the offset of a letter; "a" and "b" are the last sound and the one before it.
CONTEXT: tuple[int | str, ...] = (0, 1, 2, -1, "a", 3, -2, 4, "b", -3, 5)
EDGE = "#"
_FIRST_SOUND = 0xC0  # the code point of sound 0, beyond all letters
_REACH = 6


@dataclass(frozen=True)
class LetterModel:
    """sounds: the encoded phones of each sound. table: context -> the sound's character."""

    sounds: Sequence[str]
    table: Mapping[str, str]

    def phones(self, word: str) -> tuple[str, ...]:
        """word: lower-case letters."""
        padded = pad(word)
        history = [EDGE, EDGE]
        signs: list[str] = []
        for index in range(len(word)):
            context = context_of(padded, index, history)
            length = len(context)
            while (sound := self.table.get(context[:length])) is None and length:
                length -= 1
            sound = sound or sound_character(0)
            history.append(sound)
            signs.append(self.sounds[ord(sound) - _FIRST_SOUND])
        return decode("".join(signs))

    def save(self, path: Path = LETTERS_FILE) -> None:
        lines = [" ".join(s or "_" for s in self.sounds)] + [k + v for k, v in sorted(self.table.items())]
        path.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))


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
