"""The pronouncing lexicon: words with their phones and stress.

NOTICE: the pronunciations are those of misaki's US dictionaries, Apache License 2.0, and for names those of the CMU
Pronouncing Dictionary, 2-clause BSD: see LICENSE-lexicon.txt in this folder. `training/lexicon.py` builds the files.

Phones are written in misaki's notation: one character each, mostly IPA. Seven characters stand for two sounds:
A (eɪ), I (aɪ), O (oʊ), W (aʊ), Y (ɔɪ), ʤ and ʧ. ᵊ is a schwa that may vanish, ᵻ a vowel between ɪ and ə, ɾ a flapped t,
ʔ a glottal stop in the place of t. ˈ (primary) and ˌ (secondary stress) stand before the stressed vowel.

The file holds one word a line: the word, optionally a slash and a part of speech, a blank, and the phones. A word that
a rule of `pronounce` derives from another is left out. Names, and other words that misaki lacks, are in a file of their
own: no word is derived from them but plurals.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from pathlib import Path

LEXICON_FILE = Path(__file__).with_name("lexicon.txt.gz")
NAMES_FILE = Path(__file__).with_name("names.txt.gz")

PRIMARY, SECONDARY = STRESS = "ˈˌ"
VOWELS = "əiuɑɔɛɜɪʊʌæAIWYOᵊᵻ"
CONSONANTS = "bdfhjklmnpstvwzɡŋɹʃʒðθʤʧɾʔ"

# Parts of speech of an entry `word/part`. The entry without one is the most frequent reading; "other" is a further one
# that the topic decides, not the part of speech: lead the metal, bass the fish.
PARTS = ("noun", "verb", "adjective", "adverb", "past", "other")
NAME = "name"  # the reading of an entry with a capital: Polish, Reading


@cache
def load_lexicon(path: Path = LEXICON_FILE) -> Mapping[str, str]:
    """Word (or word/part) to phones."""
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    return dict(line.split(" ") for line in lines if line)


def save_lexicon(entries: Mapping[str, str], path: Path = LEXICON_FILE) -> None:
    lines = [f"{word} {phones}\n" for word, phones in sorted(entries.items())]
    path.write_bytes(gzip.compress("".join(lines).encode(), 9, mtime=0))
