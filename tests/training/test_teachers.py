"""The natural corpus: its texts, phonemes, speakers and checks."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.teachers import texts_en, texts_zh
from training.teachers.kokoro import FRAME, Spoken
from training.teachers.make_corpus import SPEEDS, done, fault, pace, turned_down
from training.teachers.phonemes import English, mixed, plain
from training.teachers.speakers import ENGLISH_STRANGERS, MANDARIN_STRANGERS, speakers, strangers
from training.teachers.texts import (
    LONGEST,
    Writer,
    english_sentence,
    english_vocabulary,
    held_out,
    mandarin_vocabulary,
)

GOLD = {
    "apple": "ˈæpᵊl",
    "box": "bˈɑks",
    "cat": "kˈæt",
    "fixed": "fˈɪkst",
    "Oslo": "ˈɑzlˌO",
    "pass": "pˈæs",
    "read": {"DEFAULT": "ɹˈid", "VBD": "ɹˈɛd"},
    "stop": "stˈɑp",
    "that": {"DEFAULT": "ðæt", "DT": "ðˈæt"},
    "to": "tu",
    "use": {"DEFAULT": "jˈuz", "NOUN": "jˈus"},
    "used": {"DEFAULT": "jˈuzd", "VBD": "jˈust"},
    "wait": "wˈAt",
    "we": "wi",
    "will": {"DEFAULT": "wɪl", "None": "wˈɪl"},
}
WORDS = {
    "en": {
        slot: [f"{slot}{'abcdefghij'[i]}" for i in range(10)]
        for slot in "noun adjective adverb doing proper word".split()
    },
    "zh": {
        "noun": ["苹果", "国家", "石桥"],
        "verb": ["研究", "游览"],
        "adj": ["宽阔", "明亮"],
        "name": ["王安石", "李清照"],
        "place_name": ["长安", "泉州"],
        "idiom": ["画蛇添足", "守株待兔"],
    },
}


@pytest.fixture
def english() -> English:
    return English(GOLD, {"silverfish": "sˈɪlvəɹfˌɪʃ"})


def spoken(seconds: float = 2.0, phonemes: int = 25, loudness: float = 0.1) -> Spoken:
    frames = round(seconds * 24000 / FRAME)
    durations = np.full(phonemes + 2, frames // (phonemes + 2))
    durations[0] += frames - durations.sum()
    waveform = loudness * np.sin(np.arange(frames * FRAME) * 0.05).astype(np.float32)
    return Spoken(waveform, durations, np.full(2 * frames, 200, np.float32), np.ones(2 * frames, np.float32))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_texts_follow_from_seed_and_number(language: str) -> None:
    first, again, other = (Writer(language, WORDS[language], seed) for seed in (1, 1, 2))
    there = [first.text(number) for number in range(300)]
    assert there[::-1] == [again.text(number) for number in reversed(range(300))]
    assert there != [other.text(number) for number in range(300)]
    assert len(set(there)) > 250


@pytest.mark.parametrize(("language", "mixed_in"), [("en", False), ("zh", False), ("zh", True)])
def test_texts_are_whole_sentences(language: str, mixed_in: bool) -> None:
    writer = Writer(language, WORDS[language])
    for number in range(1000):
        text = writer.text(number, mixed_in).text
        assert len(text) <= LONGEST[language]
        assert not re.search(r"[{}^0-9]", text), text
        assert re.search(r"[.?!。？！]”?$", text), text
        assert bool(re.search(r"[\u4e00-\u9fff]", text)) == (language == "zh"), text
        assert bool(re.search(r"[A-Za-z]", text)) == (language == "en" or mixed_in), text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_held_out_sentences_are_in_no_corpus(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [sentence.text for sentence in held_out(language)]
    assert len(kept) == len(set(kept)) == 40
    source = texts_en if language == "en" else texts_zh
    assert not set(kept) & {plain(line) for line in source.PROSE.splitlines()}
    monkeypatch.setattr(source, "STATEMENTS", "\n".join([*source.HELD_OUT.splitlines(), "fine"]))
    said = {Writer(language, WORDS[language]).text(number).text for number in range(1000)}
    assert said & {"Fine.", "fine。"}
    assert not any(sentence in text for sentence in kept for text in said)


def test_every_slot_has_words() -> None:
    for source, words in ((texts_en, WORDS["en"]), (texts_zh, WORDS["zh"])):
        kinds = [value for name, value in vars(source).items() if isinstance(value, str) and name.isupper()]
        slots = set(re.findall(r"\{(\w+)\}", " ".join([*kinds, *source.LISTS.values()])))
        assert slots <= set(source.LISTS) | set(words)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a animal saw a item", "An animal saw an item."),
        ("a uniform, a useful idea and a one-way street", "A uniform, a useful idea and a one-way street."),
        ("a unimpressed European and a hour", "An unimpressed European and an hour."),
        ("a European or a euro", "A European or a euro."),
        ("“no,” said a honest man", "“No,” said an honest man."),
    ],
)
def test_articles_and_capitals(before: str, after: str) -> None:
    assert english_sentence(before) == after


def test_vocabularies_are_sorted_by_part_of_speech() -> None:
    words = english_vocabulary(GOLD | {"kindness": "k", "famous": "f", "slowly": "s"})
    assert words["noun"] == ["kindness"]
    assert words["adjective"] == ["famous"]
    assert words["adverb"] == ["slowly"]
    assert words["proper"] == ["Oslo"]
    assert "pass" in words["word"] and "read" not in words["word"]  # which has two readings
    dictionary = [
        ("桌子", 100, "n"),
        ("重量", 100, "n"),
        ("稀", 100, "n"),
        ("游泳", 3, "v"),
        ("守株待兔", 3, "i"),
    ]
    found = mandarin_vocabulary(dictionary, {"桌子", "稀", "游泳", "守株待兔"})
    assert found["noun"] == ["桌子"] and found["verb"] == [] and found["idiom"] == ["守株待兔"]


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("We read^VBD the box.", "wi ɹˈɛd ðə bˈɑks."),
        ("We read the apple", "wi ɹˈid ði ˈæpᵊl"),
        ("We will use that^DT use^NOUN, we will.", "wi wɪl jˈuz ðˈæt jˈus, wi wˈɪl."),
        ("We used to use a used box", "wi jˈust tə jˈuz ɐ jˈuzd bˈɑks"),
        ("to Oslo, in, in Oslo", "tʊ ˈɑzlˌO, ˈɪn, ɪn ˈɑzlˌO"),
        ("cats, boxes, cat's, passed, waited, waiting, stopping", None),
        ("a cat-box of", KeyError),
    ],
)
def test_english_is_read_from_the_lexicon(english: English, text: str, phonemes: object) -> None:
    if phonemes is KeyError:
        with pytest.raises(KeyError):
            english(text)
        return
    derived = "kˈæts, bˈɑksᵻz, kˈæts, pˈæst, wˈATᵻd, wˈATɪŋ, stˈɑpɪŋ"
    assert english(text) == (phonemes or derived)


def test_a_hyphen_joins_and_capitals_do_not_matter(english: English) -> None:
    assert english("“Cat-box!”") == "“kˈætbˈɑks!”"
    assert english("Silverfish’s") == "sˈɪlvəɹfˌɪʃᵻz"


def test_mixed_text_is_read_by_both_readers() -> None:
    said = mixed("请把 box 发给我，no cat, OK？", lambda text: f"<{text}>", lambda text: f"[{text}]")
    assert said == "[请把] <box> [发给我，] <no cat, OK> [？]"


def test_unseen_speakers_never_occur_in_training() -> None:
    kept_out = {*ENGLISH_STRANGERS, *MANDARIN_STRANGERS}
    known, unknown = speakers(), strangers()
    assert not any(kept_out & set(speaker.voices) for speaker in known)
    assert all(sum(w for v, w in s.voices.items() if v in kept_out) > 0.5 for s in unknown)
    assert sum(len(s.voices) == 1 for s in unknown) >= 10 and sum(len(s.voices) > 1 for s in unknown) >= 100
    names = [speaker.name for speaker in known + unknown]
    assert len(set(names)) == len(names) and len(known) > 400


def test_a_blend_is_a_mixture_of_one_language() -> None:
    for speaker in speakers() + strangers():
        assert sum(speaker.voices.values()) == pytest.approx(1)
        assert min(speaker.voices.values()) >= -0.3
        assert all((name[0] == "z") == (speaker.home == "zh") for name in speaker.voices)


def test_paces_stay_within_their_limits() -> None:
    drawn = [pace(random.Random(seed)) for seed in range(2000)]
    assert min(drawn) >= SPEEDS[0] and max(drawn) <= SPEEDS[1]
    assert 0.5 < np.mean([0.92 < speed < 1.08 for speed in drawn]) < 0.9


def test_a_good_utterance_passes() -> None:
    assert fault(spoken()) is None


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (spoken(loudness=5.0), "too loud"),
        (spoken(loudness=0.001), "silent"),
        (spoken(loudness=float("nan")), "not finite"),
        (spoken(seconds=12), "too fast or too slow"),
        (spoken(seconds=0.7), "too fast or too slow"),
        (replace(spoken(), waveform=spoken().waveform[:-FRAME]), "durations do not sum to the length"),
        (replace(spoken(), f0=0 * spoken().f0), "voiceless"),
    ],
)
def test_a_bad_utterance_is_dropped(bad: Spoken, why: str) -> None:
    assert fault(bad) == why


def test_samples_above_full_scale_are_scaled_down() -> None:
    loud, quiet = (spoken(loudness=loudness).waveform for loudness in (1.5, 0.5))
    assert np.abs(turned_down(loud)).max() == pytest.approx(0.99)
    assert np.corrcoef(loud, turned_down(loud))[0, 1] == pytest.approx(1)
    assert np.array_equal(turned_down(quiet), quiet)


def test_a_killed_run_resumes(tmp_path: Path) -> None:
    entries = [
        {"number": 0, "seconds": 1.5},
        {"number": 2, "dropped": "silent"},
        {"number": 4, "seconds": 2.0},
    ]
    whole = "".join(json.dumps(entry | {"seed": 1}) + "\n" for entry in entries)
    (tmp_path / "index-0.jsonl").write_text(whole + '{"number": 6, "sec')
    (tmp_path / "index-1.jsonl").write_text('{"number": 1, "seconds": 3.0, "seed": 1}\n')
    assert done(tmp_path, 1) == {0: 1.5, 1: 3.0, 2: 0.0, 4: 2.0}
    assert (tmp_path / "index-0.jsonl").read_text() == whole
    with pytest.raises(ValueError, match="seed 1"):
        done(tmp_path, 2)
