"""Single words: the lexicon, known parts, letter-to-sound rules."""

from __future__ import annotations

import re

import pytest

from deployments.text.english.letters import load_letters
from deployments.text.english.lexicon import CONSONANTS, NAMES_FILE, PARTS, STRESS, VOWELS, load_lexicon
from deployments.text.english.pronounce import Pronouncer, default_pronouncer

WORDS = ["cat", "bake", "stop", "carry", "box", "happy", "smart", "phone", "hate", "hat"]


@pytest.fixture(scope="module")
def few() -> Pronouncer:
    """A lexicon of a few words, so that all others must come from parts or letters."""
    lexicon = load_lexicon()
    letters = [c for c in lexicon if len(c) == 1]
    return Pronouncer({w: lexicon[w] for w in [*WORDS, *letters]}, load_letters())


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("cats", "kˈæts"),
        ("boxes", "bˈɑksᵻz"),
        ("carries", "kˈɛɹiz"),
        ("carried", "kˈɛɹid"),
        ("baked", "bˈAkt"),
        ("baking", "bˈAkɪŋ"),
        ("stopped", "stˈɑpt"),
        ("stopping", "stˈɑpɪŋ"),
        ("boxed", "bˈɑkst"),
        ("boxings", "bˈɑksɪŋz"),
        ("hated", "hˈAɾᵻd"),
        ("hating", "hˈAɾɪŋ"),
        ("box's", "bˈɑksᵻz"),
        ("cat's", "kˈæts"),
        ("cat'll", "kˈæɾᵊl"),
        ("smartphone", "smˈɑɹtfˌOn"),
        ("nonhappy", "nˌɑnhˈæpi"),
        ("B", "bˈi"),
        ("B's", "bˈiz"),
    ],
)
def test_word_parts(few: Pronouncer, word: str, phones: str) -> None:
    assert word not in few.lexicon or len(word) == 1
    assert few.phones(word) == phones


@pytest.mark.parametrize("word", ["blicket", "frobnicate", "snorp", "zyx", "grault", "qwop", "aeiou"])
def test_unknown_words_have_phones(word: str) -> None:
    pronouncer = default_pronouncer()
    assert not pronouncer.known(word)
    assert pronouncer.phones(word)
    assert set(pronouncer.phones(word)) <= set(VOWELS + CONSONANTS + STRESS)
    assert pronouncer.phones(word).count("ˈ") == 1


@pytest.mark.parametrize(
    ("word", "phones"), [("blick", "blˈɪk"), ("snorp", "snˈɔɹp"), ("plimming", "plˈɪmɪŋ")]
)
def test_regular_spellings_are_read_by_rule(word: str, phones: str) -> None:
    assert load_letters().phones(word) == phones


def test_the_table_reads_most_of_the_lexicon() -> None:
    """It was trained on these words, so fewer correct ones would mean that file and code do not match."""
    letters, lexicon = load_letters(), load_lexicon()
    words = [w for w in sorted(lexicon) if w.isalpha() and w.islower()][::20]
    assert sum(letters.phones(w) == lexicon[w] for w in words) > 0.84 * len(words)


LEXICON, NAMES = load_lexicon(), load_lexicon(NAMES_FILE)


def test_every_entry_has_a_vowel_and_known_phones() -> None:
    for word, phones in [*LEXICON.items(), *NAMES.items()]:
        assert set(phones) & set(VOWELS), word
        assert set(phones) <= set(VOWELS + CONSONANTS + STRESS), word
        assert "/" not in word or word.partition("/")[2] in PARTS, word


def test_names_add_to_the_lexicon() -> None:
    assert not LEXICON.keys() & NAMES.keys()


@pytest.mark.parametrize(
    ("name", "phones"),
    [
        ("olivia", "Olˈɪviə"),
        ("lopez", "lˈOpɛz"),
        ("gaza", "ɡˈɑzə"),
        ("sean", "ʃˈɔn"),
        ("juan", "wˈɑn"),
        ("mohammed", "mOhˈæmɪd"),
        ("porsche", "pˈɔɹʃə"),
        ("porsches", "pˈɔɹʃɪz"),
        ("zuckerberg's", "zˈʌkəɹbˌɜɹɡz"),
        ("nguyen", "wˈɪn"),
        ("json", "ʤˈAsᵊn"),
        ("metformin", "mɛtfˈɔɹmɪn"),
    ],
)
def test_names_and_new_words_are_known(name: str, phones: str) -> None:
    pronouncer = default_pronouncer()
    assert pronouncer.known(name) or "'" in name
    assert pronouncer.phones(name) == phones


@pytest.mark.parametrize("word", ["soo", "longterm", "ibm", "ceo", "marslanding"])
def test_what_is_no_name_stays_unknown(word: str) -> None:
    """Drawn-out words, words of two, acronyms, and forms that a name does not have."""
    assert not default_pronouncer().known(word)


def test_stress_stands_before_a_vowel() -> None:
    for word, phones in [*LEXICON.items(), *NAMES.items()]:
        marks = [i for i, phone in enumerate(phones) if phone in STRESS]
        assert all(phones[i + 1 : i + 2] in set(VOWELS) for i in marks), word


# Words that look like plurals, or whose plural changes the stem or is not English. Each is right as it is listed.
NOT_PLURALS = frozenset(
    (
        "abs absents analyses antipodes appendices appropriates ares argos arses articulates as automatons axes "
        "aymaras balkans bases berceuses bes bionomics bonteboks boules cahiers camas causeries ceres chasseurs "
        "chitterlings choctaws cicatrices clochards closers closes cloths concertos conjuncts contents "
        "contredanses cornetts corps cos cruces danaids demos dentelles desolates dioceses dives does "
        "dolphinariums donets dumas duodenums ecossaises eisteddfods ellipses emporiums epithalamiums fraises "
        "lyons marseilles "
        "frequents galatians gas geladas girolles glassworks gobelins hades hamas has homs hoofs hydromagnetics "
        "imagines kinesics lacunas langues laos laths lesbos maillots manes menses metamorphoses mezuzahs mons "
        "mores mrs naiads nates negros neurilemmas neurolinguistics neuromas nones nucleonics obvs offscourings "
        "onondagas padrones paiutes palmiers pampas paracetamols paralyses parfums pas paths patissiers "
        "pedodontics phonetics piscinas pointes pompiers proceeds psychographics quartiers rambouillets "
        "saltarellos says scotomas semitropics sheaths shias snowploughs soubresauts spareribs stipes tailleurs "
        "taos tapas teratocarcinomas terrasses thebes thermionics theses tlingits topos transgenics "
        "trapezohedrons tricoteuses truths umbones untruths valses vernissages vicomtes vicomtesses vins was "
        "wreaths yas yes yours"
    ).split()
)


def test_plurals_extend_their_stem() -> None:
    """Koalas once had one vowel less than a koala."""
    bad = []
    for word, phones in LEXICON.items():
        stem = LEXICON.get(word[:-1])
        if word.isalpha() and word.islower() and word.endswith("s") and word[-2:-1] not in "siu" and stem:
            regular = {stem + "z", stem + "s", stem + "ᵻz"}
            if _loose(phones) not in {_loose(form) for form in regular} and word not in NOT_PLURALS:
                bad.append((word, phones, stem))
    assert not bad


def _loose(phones: str) -> str:
    """Without stress, and reduced vowels alike: misaki's two files differ in these."""
    return re.sub("[əᵻᵊɪ]", "ə", re.sub(f"[{STRESS}]", "", phones))


def test_every_letter_has_a_name() -> None:
    assert all(default_pronouncer().spell(c) for c in "abcdefghijklmnopqrstuvwxyz")
