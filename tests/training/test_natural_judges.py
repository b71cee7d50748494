"""The judges that were not trained on our teachers: their counts and their table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.judges.clones import summary, trial
from training.judges.hearing import syllables, units
from training.judges.judge import Heard, distance, errors, likeness, mean, table, verdicts
from training.judges.render import turn
from training.judges.runaways import Count, lost_group, times
from training.judges.samples import RATE, Sample, load, store


def heard(text: str, speaker: str = "ann", voice: int = 0, seconds: float = 2.0, wrong: int = 0) -> Heard:
    embedding = np.eye(4)[voice] + 0.1
    sample = Sample(text, "en", speaker, "")
    f0 = np.full(100, 200.0)
    return Heard(
        sample, text, wrong, 10, None, 4.0, embedding / np.linalg.norm(embedding), seconds, f0, -20.0, 0
    )


@pytest.mark.parametrize(
    ("meant", "written", "language", "wrong"),
    [
        ("The winning number is four hundred and seventeen.", "the winning number is 417", "en", 0),
        ("Flight eight to Oslo, please!", "Flight 8 to Oslo please.", "en", 0),
        ("She left her hat.", "She left the hat.", "en", 1),
        ("She left her hat.", "", "en", 4),
        ("气温降到了零下二度。", "气温降到了零下2度", "zh", 0),
        ("我把 email 发给你", "我把Email发给你。", "zh", 0),
        ("表姐卖掉了摩托车。", "表捷卖掉了摩托车", "zh", 1),
        ("Good morning.", "Good ❓ morning سلام", "en", 0),
        ("Good morning.", "سلام", "en", 2),
    ],
)
def test_errors_are_counted_in_spoken_words(meant: str, written: str, language: str, wrong: int) -> None:
    assert errors(meant, written, language) == (wrong, len(units(meant, language)))


def test_homophones_and_digits_are_not_syllable_errors() -> None:
    assert distance(syllables("他在教室，see you？"), syllables("她再教室 See you")) == 0
    assert syllables("说 see you") == ["shuo1", "see", "you"]
    assert distance(syllables("买书"), syllables("卖书")) == 1  # another tone
    assert distance(syllables("二十三"), syllables("23")) == 0


def test_a_mean_lies_in_its_interval() -> None:
    values = list(np.random.default_rng(0).normal(4, 1, 200))
    middle, low, high = mean(values)
    assert middle == pytest.approx(np.mean(values))
    assert low < middle < high and 0.2 < high - low < 0.4
    assert mean([3.0]) == (3.0, 3.0, 3.0)


def test_an_utterance_is_not_its_own_reference() -> None:
    first = [heard("one", voice=0), heard("two", voice=0), heard("three", voice=1)]
    alike = likeness(first, first)
    assert alike[0] == pytest.approx(alike[1]) and alike[2] < alike[0] < 0.99
    assert likeness(first[:1], first[:1]) == []
    assert likeness([heard("four", voice=1)], first[:2])[0] < likeness([heard("four", voice=0)], first[:2])[0]


def test_the_student_is_compared_with_the_teacher() -> None:
    teacher = [heard("one"), heard("two"), heard("one", "bob", voice=1)]
    student = [heard("one", seconds=3.0, wrong=2), heard("two", seconds=1.0), heard("one", "eve", voice=2)]
    rows = verdicts({"teacher": teacher, "student": student})
    assert [(row.folder, row.speaker) for row in rows] == [
        ("teacher", "ann"),
        ("student", "ann"),
        ("teacher", "bob"),
        ("student", "eve"),
    ]
    own, taught = rows[0], rows[1]
    assert own.tempo is None and taught.tempo is not None and taught.tempo[0] == pytest.approx(1.0)
    assert taught.error[0] == pytest.approx(0.1) and own.error[0] == 0
    assert own.likeness and taught.likeness
    assert rows[2].likeness is None  # a single utterance has no other to compare with
    assert rows[3].likeness is None and rows[3].tempo is None  # the teacher has no such speaker
    together = verdicts({"teacher": teacher, "student": student}, together=True)
    assert [(row.folder, row.utterances) for row in together] == [("teacher", 3), ("student", 3)]
    assert len(table(rows).splitlines()) == 2 + len(rows)


def test_samples_are_read_back(tmp_path: Path) -> None:
    tone = (0.5 * np.sin(np.arange(48000) * 0.05)).astype(np.float32)
    sample = Sample("One.", "en", "ann", "ann/one.flac")
    store(tmp_path, sample, tone, 24000)
    with (tmp_path / "index-1.jsonl").open("w") as index:
        index.write(
            '{"number": 3, "text": "Two.", "language": "en", "speaker": "ann", "dropped": "silent"}\n'
        )
    assert load(tmp_path) == [sample]
    assert len(sample.waveform(tmp_path)) == 2 * RATE
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "ann")


def test_a_clone_is_compared_with_its_speaker_and_the_shipped_voices() -> None:
    like, other = np.eye(3)[0], np.eye(3)[1]
    shipped = {"clara": other, "ross": np.eye(3)[2]}
    good = trial("ann", np.array([0.8, 0.6, 0.0]), like, shipped, 1.02)
    bad = trial("bob", np.array([0.6, 0.8, 0.0]), like, shipped, 0.9)
    assert (good.recognised, good.voice, bad.recognised) == (True, "clara", False)
    assert (good.own, good.nearest) == pytest.approx((0.8, 0.6))
    text = summary([good, bad])
    assert "any shipped voice: 1 of 2" in text and "1 of 2; median error 6.0%" in text
    assert "bob: 0.600, clara 0.800" in text and "ann" not in text


def test_each_sentence_goes_to_the_next_speakers_in_turn() -> None:
    names = ["a", "b", "c"]
    assert [turn(names, number, 2) for number in range(3)] == [["a", "b"], ["c", "a"], ["b", "c"]]
    assert turn(names, 5, None) == names
    assert turn(names, 0, 9) == names


def test_the_time_of_each_phone_is_known_also_where_phones_are_left_out() -> None:
    phones = [7, 8, 7, 9]
    assert times(np.array([7, 7, 8, 7, 9, 9]), phones).tolist() == [2, 1, 1, 2]
    assert times(np.array([7, 9]), phones).tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("said", [[7, 8, 7, 8], [7, 9, 8], [5]])
def test_a_phone_that_is_said_again_or_does_not_belong_is_an_error(said: list[int]) -> None:
    with pytest.raises(ValueError, match="out of order"):
        times(np.array(said), [7, 8, 7, 9])


def test_a_group_of_phones_that_is_rushed_is_lost() -> None:
    typical = np.full(12, 4.0)
    assert lost_group(np.full(12, 3), typical) is None
    rushed = np.array([4, 4, 4, 1, 1, 1, 1, 1, 1, 4, 4, 4])
    assert lost_group(rushed, typical) == 3
    assert lost_group(np.ones(6, int), np.full(6, 4.0)) == 0
    assert lost_group(np.zeros(6, int), np.zeros(6)) == 0  # lost with every seed


def test_runaways_repeats_and_lost_groups_are_counted_over_the_seeds() -> None:
    phones = list(range(1, 9))
    usual = np.repeat(phones, 4)
    found = Count()
    found.add(
        [usual, usual, usual, np.repeat(phones, 7), np.append(usual, 1), np.array(phones)], phones, "ann"
    )
    assert found.segments == 6
    assert found.runaways == ["ann, seed 3: 1.75 of the median"]
    assert found.repeats == ["ann, seed 4: code 32 says phone 1 out of order"]
    assert found.lost == ["ann, seed 5: [1, 1, 1, 1, 1, 1] codes from phone 0"]
    assert found.lengths == [1.0, 1.0, 1.0, 1.75, 0.25]
