"""Syllables and tones, counted."""

from __future__ import annotations

import pytest

from deployments.families.small.phones import phone_ids
from deployments.families.small.text.pinyin import syllables
from training.listener import Errors, compare, syllables_of


def ids(text: str) -> list[int]:
    return phone_ids([phone for syllable in syllables(text) for phone in syllable.phones])


def test_phones_become_syllables():
    assert syllables_of(ids("今天很爱")) == [
        ("J+IN", "1"),
        ("T+IAN", "1"),
        ("H+EN", "3"),
        ("+AI", "4"),
    ]


@pytest.mark.parametrize(
    ("meant", "heard", "wrong", "matched", "tones"),
    [
        ("今天下雨", "今天下雨", 0, 4, 0),
        ("今天下雨", "今田下雨", 0, 4, 1),
        ("今天下雨", "今天下", 1, 3, 0),
        ("今天下雨", "今天他下雨", 1, 4, 0),
        ("今天下雨", "今他下鱼", 1, 3, 1),
        ("今天下雨", "", 4, 0, 0),
    ],
)
def test_errors_are_counted(meant, heard, wrong, matched, tones):
    errors = Errors()
    compare(ids(meant), ids(heard), errors)
    assert (errors.syllables, errors.wrong, errors.matched, errors.tones) == (4, wrong, matched, tones)
    assert errors.syllable_rate == wrong / 4
