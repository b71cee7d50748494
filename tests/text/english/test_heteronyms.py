"""Words that are written alike: 988 everyday sentences, each with the reading of one of its words."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from deployments.text.english.context import pronounce_words
from deployments.text.english.pronounce import default_pronouncer
from deployments.text.normalise import normalise

with Path(__file__).with_name("heteronyms.tsv").open() as _file:
    CASES = list(csv.DictReader(_file, delimiter="\t", quoting=csv.QUOTE_NONE))
PRONOUNCER = default_pronouncer()


def said(text: str) -> list[tuple[str, str]]:
    """The words of a sentence with their phones."""
    words = normalise(text, PRONOUNCER.known)
    return [(w.text, str(p)) for w, p in zip(words, pronounce_words(words, text, PRONOUNCER), strict=True)]


def wrong(cases: list[dict[str, str]]) -> list[str]:
    """The sentences that are misread."""
    return [
        f"{case['word']} in {case['sentence']!r}: {found}, not {case['phones']}"
        for case in cases
        if (found := [p for w, p in said(case["sentence"]) if w == case["word"].lower()]) != [case["phones"]]
    ]


def test_every_word_is_tried_in_both_readings() -> None:
    readings: dict[str, Counter[str]] = defaultdict(Counter)
    for case in CASES:
        readings[case["word"]][case["phones"]] += 1
    assert len(readings) > 100
    assert all(len(counts) == 2 and counts.total() >= 6 for counts in readings.values())


@pytest.mark.parametrize("half", sorted({case["half"] for case in CASES}))
def test_at_least_95_of_100_are_read_rightly(half: str) -> None:
    cases = [case for case in CASES if case["half"] == half]
    missed = wrong(cases)
    assert len(missed) <= 0.05 * len(cases), "\n".join(missed)


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("She moved from Reading to Mobile, Alabama.", "ɹˈɛdɪŋ mObˈil"),
        ("Reading in Nice is nice.", "ɹˈidɪŋ nˈis nˈIs"),
        ("POLISH THE SILVER", "pˈɑlɪʃ"),
        ("Polish people love Polish bread.", "pˈOlɪʃ pˈOlɪʃ"),
    ],
)
def test_capitals_tell_names(text: str, phones: str) -> None:
    names = ("reading", "mobile", "nice", "polish")
    assert [p for w, p in said(text) if w in names] == phones.split()


@pytest.mark.parametrize(
    ("text", "weak"),
    [
        ("the hour", "ði"),
        ("the honest man", "ði"),
        ("the X-ray", "ði"),
        ("the one", "ðə"),
        ("the US", "ðə"),
        ("the European", "ðə"),
        ("the union", "ðə"),
        ("to use", "tə"),
        ("to Ottawa", "tʊ"),
        ("a use", "ə"),
        ("an hour", "æn"),
    ],
)
def test_weak_words_go_by_sound(text: str, weak: str) -> None:
    assert said(text)[0][1] == weak


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ["use and ", "read ", "never live ", "bass lead tears ", "did the used to "])
def test_a_long_sentence_takes_no_more_than_its_length(unit: str) -> None:
    """Quadratic work on 200,000 characters would run into the time limit."""
    assert len(said(unit * (200_000 // len(unit)))) > 10_000
