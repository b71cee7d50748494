"""Everyday Mandarin and mixed texts, and words with polyphones."""

from __future__ import annotations

from pathlib import Path

from deployments.text.mandarin.pinyin import syllable, syllables
from tests.spoken import result

PINYIN = Path(__file__).with_name("pinyin.tsv")


def test_everyday_texts_are_read_as_a_reader_would() -> None:
    found = result("zh")
    assert found.texts >= 500
    assert len(found.wrong) <= 0.01 * found.texts, "\n".join(found.wrong.values())


def test_polyphones_and_surnames_are_told_by_their_phrase() -> None:
    """Tones include sandhi."""
    entries = [line.split("\t") for line in PINYIN.read_text("utf-8").splitlines()]
    wrong = [
        f"{hanzi}: {pinyin}"
        for hanzi, pinyin in entries
        if syllables(hanzi) != [syllable(one) for one in pinyin.split()]
    ]
    assert len(entries) >= 500 and not wrong, "\n".join(wrong)
