"""docs/text.md says how much of the corpora is read rightly, by category, and names every text that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.spoken import LANGUAGES, result

DOCS = (Path(__file__).parents[2] / "docs" / "text.md").read_text("utf-8")
SECTIONS = {"en": "## English: how much is right", "zh": "## Mandarin"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_is_that_of_the_corpus(language: str) -> None:
    section = DOCS[DOCS.index(SECTIONS[language]) :].split("\n## ")[0]
    documented = re.findall(r"^\| [a-z]+ \| \d+ \| [\d.]+ % \|$", section, re.MULTILINE)
    assert sorted(documented) == sorted(result(language).rows())
    assert f"has {result(language).texts:,} texts" in section


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_that_is_read_wrongly_is_named(language: str) -> None:
    assert [written for written in result(language).wrong if written not in DOCS] == []


def test_of_1500_texts_99_percent_are_right() -> None:
    texts = sum(result(language).texts for language in LANGUAGES)
    wrong = sum(len(result(language).wrong) for language in LANGUAGES)
    assert texts >= 1500
    assert wrong <= 0.01 * texts
