"""Single words: the lexicon, known parts, letter-to-sound rules."""

from __future__ import annotations

import pytest

from deployments.text.english.letters import load_letters
from deployments.text.english.lexicon import decode, encode, load_lexicon
from deployments.text.english.pronounce import Pronouncer, default_pronouncer
from deployments.text.phones import PHONE_TO_ID

WORDS = ["cat", "bake", "stop", "carry", "box", "happy", "smart", "phone", "read"]


@pytest.fixture(scope="module")
def few() -> Pronouncer:
    """A lexicon of a few words, so that all others must come from parts or letters."""
    lexicon = load_lexicon()
    letters = [c for c in lexicon if len(c) == 1]
    return Pronouncer({w: lexicon[w] for w in [*WORDS, *letters]}, load_letters())


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("cats", "k ae t s"),
        ("boxes", "b aa k s ih z"),
        ("carries", "k ae r iy z"),
        ("carried", "k ae r iy d"),
        ("baked", "b ey k t"),
        ("baking", "b ey k ih ng"),
        ("stopped", "s t aa p t"),
        ("stopping", "s t aa p ih ng"),
        ("boxed", "b aa k s t"),
        ("box's", "b aa k s ax z"),
        ("cat's", "k ae t s"),
        ("cat'll", "k ae t ax l"),
        ("smartphone", "s m aa r t f ow n"),
        ("nonhappy", "n aa n hh ae p iy"),
        ("B", "b iy"),
        ("B's", "b iy z"),
    ],
)
def test_word_parts(few: Pronouncer, word: str, phones: str) -> None:
    assert not few.known(word) or len(word) == 1
    assert few.phones(word) == tuple(phones.split())


@pytest.mark.parametrize("word", ["blick", "frobnicate", "snorp", "zyx", "grault", "qwop", "brrr", "aeiou"])
def test_unknown_words_have_phones(word: str) -> None:
    pronouncer = default_pronouncer()
    assert not pronouncer.known(word)
    assert pronouncer.phones(word)
    assert set(pronouncer.phones(word)) <= PHONE_TO_ID.keys()


@pytest.mark.parametrize(
    ("word", "phones"), [("blick", "b l ih k"), ("snorp", "s n ao r p"), ("plimming", "p l ih m ih ng")]
)
def test_regular_spellings_are_read_by_rule(word: str, phones: str) -> None:
    assert load_letters().phones(word) == tuple(phones.split())


def test_the_table_reads_most_of_the_lexicon() -> None:
    """It was trained on these words, so fewer correct ones would mean that file and code do not match."""
    letters, lexicon = load_letters(), load_lexicon()
    words = [w for w in sorted(lexicon) if w.isalpha() and w.islower()][::50]
    assert sum(encode(letters.phones(w)) == lexicon[w] for w in words) > 0.85 * len(words)


def test_every_entry_is_speakable() -> None:
    for word, signs in load_lexicon().items():
        assert signs and word
        assert set(decode(signs)) <= PHONE_TO_ID.keys()


def test_every_letter_has_a_name() -> None:
    assert all(default_pronouncer().spell(c) for c in "abcdefghijklmnopqrstuvwxyz")
