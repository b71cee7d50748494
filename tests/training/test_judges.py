"""The judges. Our own voice takes the teacher's place, because no teacher is installed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deployments.families.small.config import SmallConfig
from deployments.text.phones import PHONES, phone_ids
from training import cloning, control, judge
from training.listener import syllables_of
from training.pitch import measured_f0
from training.shipped import WEIGHTS, Shipped, reference
from training.teachers.classic import STRANGERS
from training.utterances import CODE_SAMPLES, HOP, RATE, Utterance
from training.verifier import Verifier
from training.voices import PHONES_ZH, VOICES
from training.warm import SHIPPED

SENTENCES = 2
SECONDS = np.arange(RATE) / RATE


@pytest.fixture(scope="module")
def shipped() -> Shipped:
    return Shipped()


@pytest.fixture
def taught(shipped, monkeypatch) -> None:
    """Every teacher is ross, at temperature 0."""
    vector = shipped.vector(reference("ross"))

    def utterance(text: str, persona: object, pace: float = 1.0) -> Utterance:
        waveform = shipped.say([text], vector, temperature=0.0, pace=pace)[0]
        nothing = np.zeros(0, np.int16)
        return Utterance("ross", text, waveform, measured_f0(waveform), nothing, np.zeros(0), pace)

    for module in (judge, cloning):
        monkeypatch.setattr(module, "utterance", utterance)


def judged(runs: Path, keep: Path | None = None) -> judge.Judge:
    return judge.Judge(runs, SENTENCES, keep, WEIGHTS, SHIPPED, 2)


def test_a_teacher_its_copies_and_our_voice_are_judged(taught, tmp_path):
    jury = judged(tmp_path, tmp_path / "kept")
    teacher, copy, ours = (jury.verdict(mode, "ross", 0.0, 0) for mode in judge.MODES)
    assert (teacher.mcd, teacher.f0_error, teacher.length) == (None, None, (1.0, 1.0, 1.0))
    # at temperature 0, our voice equals the stand-in for the teacher, except for the noise of other seeds
    assert ours.length == (1.0, 1.0, 1.0)
    assert ours.mcd is not None and ours.mcd < 1.5
    assert ours.f0_error is not None and ours.f0_error < 0.5
    assert copy.mcd is not None and ours.mcd < copy.mcd < 4
    assert (copy.sentences, len(copy.heard)) == (SENTENCES, 2 * SENTENCES), "two seeds of the noise"
    assert len(list((tmp_path / "kept" / "copy-ross").glob("*.wav"))) == 2 * SENTENCES
    for verdict in (teacher, copy, ours):
        rate, least, most = verdict.error
        assert 0 <= least <= rate <= most <= 0.5
        assert verdict.f0 == pytest.approx(teacher.f0, rel=0.05)
        assert verdict.loudness == pytest.approx(teacher.loudness, abs=2)


def test_errors_are_those_of_all_copies_for_each_sentence(tmp_path, monkeypatch):
    jury = judged(tmp_path)
    heard = iter([jury.sentences["en"][0].lower(), "", "the children ran", "she left her umbrella"])
    monkeypatch.setattr(jury.sphinx, "hear", lambda *_: judge.words(next(heard)))
    rate, _, _ = jury.hear("en", [np.zeros(1)] * 4)[0]
    first, second = (len(judge.words(text).split()) for text in jury.sentences["en"])
    assert rate == pytest.approx((0 + second + first - 3 + second - 4) / (2 * (first + second)))


def test_mandarin_is_judged_by_syllables_and_by_tones(tmp_path):
    jury = judged(tmp_path)
    right = [phone_ids(line.split()) for line in PHONES_ZH.read_text("utf-8").splitlines()[:SENTENCES]]
    syllables = sum(len(syllables_of(ids)) for ids in right)
    first = next(i for i, phone in enumerate(right[0]) if PHONES[phone].endswith("1"))
    other = [*right[0]]
    other[first] = PHONES.index(PHONES[other[first]][:-1] + "4")

    def hear(*sentences: list[int]) -> tuple[judge.Rate, judge.Rate | None]:
        said = iter(sentences)
        jury.listener = SimpleNamespace(hear=lambda _: next(said))
        return jury.hear("zh", [np.zeros(1)] * len(sentences))[:2]

    assert [rate and rate[0] for rate in hear(*right)] == [0, 0]
    assert [rate and rate[0] for rate in hear(other, right[1])] == [0, 1 / syllables]
    errors, tones = hear(right[0], [])
    assert errors[0] == pytest.approx(len(syllables_of(right[1])) / syllables)
    assert tones is not None and tones[0] == 0, "of syllables that were heard"


def test_no_mandarin_without_a_listener(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["judge", "--voices", "mei", "--runs", str(tmp_path), "--count", "1"])
    with pytest.raises(SystemExit):
        judge.main()
    assert "listener.pt is missing" in capsys.readouterr().err


def test_the_table_shows_measurements_and_the_summary_their_means(taught, tmp_path):
    one = judged(tmp_path).verdict("gpt", "ross", 0.0, 0)
    other = replace(one, voice="ben", error=(0.5, 0.4, 0.6))
    one = replace(one, error=(0.1, 0.0, 0.2))
    assert "| gpt 0 | ross | 10.0% (0.0%-20.0%) |" in judge.table([one, other])
    assert judge.summary([one, other]) == "en gpt: mean of 2 voices 30.0%, best 10.0%"


def test_unseen_speakers_are_used_unchanged_and_then_moved():
    trial = cloning.cast(40, seed=0)
    assert [persona.teacher for persona in trial[: len(STRANGERS)]] == list(STRANGERS)
    assert len({persona.name for persona in trial}) == 40
    assert cloning.cast(40, seed=0) == trial != cloning.cast(40, seed=1)


def test_a_clone_is_compared_with_its_reference(taught, tmp_path):
    torch.manual_seed(0)
    state = {f"verifier.{name}": value for name, value in Verifier(SmallConfig()).state_dict().items()}
    torch.save({"net": state}, tmp_path / "verifier.pt")
    cloned = cloning.Cloning(tmp_path, WEIGHTS)
    trial, made = cloned.trial(cloning.cast(1, 0)[0], "It rained all morning.", 0.0, seed=0)
    assert trial.seconds >= cloning.SHORTEST
    assert trial.as_high, "the clone of ross has the pitch of ross"
    assert len(made) % CODE_SAMPLES == 0
    own = cloned.embedding(made)
    said = cloning.reference_of(cloning.cast(1, 0)[0])
    assert trial.own == pytest.approx(own @ cloned.embedding(said), abs=1e-5)
    scores = {name: own @ cloned.embedding(reference(name)) for name in VOICES}
    assert trial.nearest == max(scores, key=lambda name: scores[name])
    assert trial.shipped == pytest.approx(scores[trial.nearest], abs=1e-5)


def test_pauses_and_endings_are_measured():
    hum = 0.1 * np.sin(2 * np.pi * 150 * SECONDS).astype(np.float32)
    silence = np.zeros(30 * HOP, np.float32)
    assert control.longest_pause(np.concatenate([silence, hum, silence, hum])) == pytest.approx(0.3)
    assert control.longest_pause(hum) == 0
    higher = 2 ** (4 / 12) * 150
    phase = 2 * np.pi * np.cumsum(np.where(SECONDS < 0.7, 150, higher)) / RATE
    rising = sum(0.1 / k * np.sin(k * phase) for k in range(1, 11)).astype(np.float32)
    assert control.ending(rising) == pytest.approx(4, abs=0.3)


def test_the_output_file_is_json(taught, tmp_path, monkeypatch):
    out = tmp_path / "made" / "judge.json"
    asked = ["judge", "--voices", "ross", "--modes", "gpt", "--count", "1", "--temperatures", "0"]
    monkeypatch.setattr(sys, "argv", [*asked, "--runs", str(tmp_path), "--json", str(out)])
    threads = torch.get_num_threads()
    try:
        judge.main()
    finally:
        torch.set_num_threads(threads)
    (row,) = json.loads(out.read_text())
    assert (row["voice"], row["mode"], row["sentences"]) == ("ross", "gpt", 1)


def test_a_text_of_several_segments_is_spoken_whole(shipped):
    halves, together = ["The light went out;", "nobody moved."], "The light went out; nobody moved."
    vector, pause = shipped.vector(reference("ross")), shipped.frontend.segments(together)[0].pause_after
    assert pause > 0
    spoken, *apart = shipped.say([together, *halves], vector, temperature=0.0)
    (alone,) = shipped.say([together], vector, temperature=0.0)
    np.testing.assert_array_equal(spoken, alone)
    assert len(spoken) == sum(map(len, apart)) + round(pause * RATE)
