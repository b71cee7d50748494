"""Everyday Mandarin and mixed texts: category, written, spoken without spaces."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from deployments.families.small.frontend import SmallFrontend
from deployments.text.mandarin.pinyin import syllable, syllables

SPOKEN = Path(__file__).parents[1] / "spoken_mandarin.tsv"
PINYIN = Path(__file__).with_name("pinyin.tsv")


def test_everyday_texts_are_read_as_a_reader_would() -> None:
    frontend = SmallFrontend()
    pairs = [line.split("\t") for line in SPOKEN.read_text("utf-8").splitlines()]
    wrong = [
        f"{category}: {written} -> {said}, not {spoken}"
        for category, written, spoken in pairs
        if (said := frontend.spoken(written, "zh").replace(" ", "")) != spoken
    ]
    shares = Counter(line.split(":")[0] for line in wrong)
    assert len(pairs) >= 500
    assert len(wrong) <= 0.01 * len(pairs), "\n".join([str(dict(shares)), *wrong])


def test_polyphones_and_surnames_are_told_by_their_phrase() -> None:
    """Tones include sandhi."""
    entries = [line.split("\t") for line in PINYIN.read_text("utf-8").splitlines()]
    wrong = [
        f"{hanzi}: {pinyin}"
        for hanzi, pinyin in entries
        if syllables(hanzi) != [syllable(one) for one in pinyin.split()]
    ]
    assert len(entries) >= 500 and not wrong, "\n".join(wrong)
