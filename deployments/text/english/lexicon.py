"""The pronunciation lexicon: words with their phones from flite's cmulex and its letter-to-sound rules.

NOTICE: the pronunciations derive from the CMU Pronouncing Dictionary through CMU Flite's cmulex, both by Carnegie
Mellon University and free under BSD-style terms: see LICENSE-lexicon.txt in this folder.

The file holds one word per line: the word, optionally "/v" or "/j" (as a verb or an adjective), a space, and one
character per phone.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from deployments.text.phones import ENGLISH_PHONES

LEXICON_FILE = Path(__file__).with_name("lexicon.txt.gz")

_SPEECH = tuple(p for p in ENGLISH_PHONES if p.isalpha() and p != "pau")
_SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PHONE_TO_SIGN = dict(zip(sorted(_SPEECH), _SIGNS, strict=False))
_SIGN_TO_PHONE = {sign: phone for phone, sign in PHONE_TO_SIGN.items()}


def encode(phones: list[str] | tuple[str, ...]) -> str:
    return "".join(PHONE_TO_SIGN[p] for p in phones)


def decode(signs: str) -> tuple[str, ...]:
    return tuple(_SIGN_TO_PHONE[s] for s in signs)


@cache
def load_lexicon(path: Path = LEXICON_FILE) -> Mapping[str, str]:
    """Maps each word (or word/v, word/j) to its encoded phones."""
    lines = gzip.decompress(path.read_bytes()).decode("ascii").split("\n")
    return dict(line.split(" ") for line in lines if line)


def save_lexicon(entries: Mapping[str, tuple[str, ...]], path: Path = LEXICON_FILE) -> None:
    lines = [f"{word} {encode(phones)}\n" for word, phones in sorted(entries.items())]
    path.write_bytes(gzip.compress("".join(lines).encode("ascii"), 9, mtime=0))
