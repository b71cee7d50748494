"""The whole recipe on a minute of made-up speech: packed corpus, codec, GPT, weights that the family speaks with."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from serve_app.cli.speaker import Speaker
from serve_app.config.settings import Settings
from tests.training.tones import SPEAKERS, utterance
from training import codes, folder, voice
from training.codec import load_codec
from training.judges import copies as copies_module
from training.judges import render
from training.judges.samples import Sample, load, store
from training.next_voice import NEXT, RATE
from training.shards import read, write

ONE = ("--device", "cpu", "--ranks", 1)
TEXTS = ("Can you bring me a glass of water?", "We walked along the beach until the sun went down.")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "shard-000.safetensors"
    assert write([utterance(name, i) for i in range(24) for name in SPEAKERS], path) > 50
    return path


def run(module, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["program", *map(str, arguments)])
    module.main()


def figures(line: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"(\w+) (-?[\d.]+)", line)}


@pytest.fixture(scope="module")
def trained(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of a short training, and what it printed."""
    out = tmp_path_factory.mktemp("next")
    brief = (
        "--device",
        "cpu",
        "--ranks",
        1,
        "--crops",
        2,
        "--tokens",
        300,
        "--width",
        4,
        "--codec-rate",
        2e-3,
        "--gpt-rate",
        3e-3,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.loop.Schedule.tell_s", 1e9)
        lines: list[str] = []
        patch.setattr("builtins.print", lambda *values, **_: lines.append(" ".join(map(str, values))))
        run(voice, patch, "--corpus", packed.parent, "--out", out, "--steps", 22, *ONE, *brief)
    return out, lines


def test_losses_fall_and_the_critics_join(trained: tuple[Path, list[str]]) -> None:
    _, lines = trained
    codec = [figures(line) for line in lines if line.startswith("codec step")]
    assert codec[-1]["valid_stft"] < 0.85 * codec[0]["stft"]
    assert codec[-1]["valid_log_f0"] < codec[0]["log_f0"]
    assert codec[-1]["phone"] < codec[0]["phone"]
    assert "critics" in codec[-1] and "critics" not in codec[0]
    gpt = [figures(line) for line in lines if line.startswith("gpt step")]
    assert gpt[-1]["valid_code"] < 0.8 * np.log(NEXT.n_codes)


def test_the_exported_weights_speak_both_languages(trained: tuple[Path, list[str]]) -> None:
    out, _ = trained
    written = json.loads((out / "small.json").read_text())
    assert (written["sample_rate"], written["phone_set"]) == (24000, "stressed")
    family = {"name": "small", "options": {"weights": str(out)}}
    with Speaker(Settings.from_args({"device": {"preference": "cpu"}, "family": family})) as speaker:
        for text in (TEXTS[0], "你好吗？"):
            spoken = speaker.say(text, "ross", seed=1)
            assert spoken.rate == RATE
            assert np.isfinite(spoken.waveform).all() and np.abs(spoken.waveform).max() > 0.01
        again = speaker.say(text, "ross", seed=1)
    np.testing.assert_array_equal(again.waveform, spoken.waveform)


def test_a_file_of_codes_trains_the_gpt_as_the_corpus_does(
    trained: tuple[Path, list[str]], packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, made = trained[0], tmp_path / "codes.npz"
    run(codes, monkeypatch, "--corpus", packed, "--codec", out / "codec.pt", "--out", made)
    assert made.stat().st_size < packed.stat().st_size / 10
    nowhere = ("--corpus", tmp_path / "nowhere", "--start", out, "--out", tmp_path)
    run(voice, monkeypatch, "--stage", "gpt", "--codes", made, *nowhere, "--tokens", 300, "--steps", 2, *ONE)
    old, new = (torch.load(folder / "gpt.pt")["net"] for folder in (out, tmp_path))
    assert any(not torch.equal(old[name], new[name]) for name in old)
    with pytest.raises(SystemExit):
        run(voice, monkeypatch, "--codes", made, *nowhere)


def test_the_judges_hear_any_weights_and_voices(
    trained: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "voices").mkdir()
    soundfile.write(tmp_path / "voices" / "stranger.wav", utterance("high", 99).waveform, RATE)
    where = ("--weights", trained[0], "--voices", tmp_path / "voices", "--out", tmp_path / "speech")
    run(render, monkeypatch, "--by", "student", *where, "--count", 1)
    made = load(tmp_path / "speech")
    assert [(one.speaker, one.language) for one in made] == [("stranger", "en"), ("stranger", "zh")]
    assert all(soundfile.info(tmp_path / "speech" / one.file).samplerate == RATE for one in made)


def test_the_codec_copies_speech_for_the_judges(
    trained: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, voices, copies = (tmp_path / name for name in ("teacher", "voices", "copies"))
    voices.mkdir()
    soundfile.write(voices / "high.wav", utterance("high", 99).waveform, RATE)
    own = utterance("high", 3).waveform
    store(teacher, Sample("One.", "en", "high", "high/one.flac"), own, RATE)
    how = ("--codec", trained[0] / "codec.pt", "--voices", voices, "--out", copies)
    run(copies_module, monkeypatch, teacher, *how)
    (made,) = load(copies)
    sound, rate = soundfile.read(copies / made.file)
    assert (made.text, made.speaker, rate) == ("One.", "high", RATE)
    assert 0 <= len(sound) - len(own) < NEXT.samples_per_code
    assert np.sqrt(np.mean(sound**2)) > 0.005


def test_own_recordings_continue_a_run_and_keep_its_codes(
    trained: tuple[Path, list[str]], packed: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    start, _ = trained
    recordings = tmp_path / "ann"
    recordings.mkdir()
    for index, text in enumerate(TEXTS):
        sound = np.pad(utterance("low", index).waveform, RATE // 2)
        soundfile.write(recordings / f"{index}.wav", sound, RATE)
        (recordings / f"{index}.txt").write_text(text)
    for name, sound, words in (
        ("silent", np.zeros(32000), "Nothing at all."),
        ("short", 0.1 * np.ones(1600), "Hm."),
        ("script", 0.1 * np.sin(np.arange(32000)), "Привет, мир."),
        ("untold", 0.1 * np.sin(np.arange(32000)), None),
    ):
        soundfile.write(recordings / f"{name}.wav", sound, 16000)
        if words is not None:
            (recordings / f"{name}.txt").write_text(words)
    (recordings / "broken.wav").write_bytes(b"RIFF but no more")
    (recordings / "broken.txt").write_text("It cannot be read.")

    mine = tmp_path / "mine.safetensors"
    run(folder, monkeypatch, recordings, "--codec", start / "codec.pt", "--out", mine, "--worst", -100)
    told = capsys.readouterr()
    assert "2 utterances" in told.out
    for name, why in (
        ("silent", "it is silent"),
        ("short", "s are allowed"),
        ("script", "cannot be spoken"),
        ("untold", "untold.txt is missing"),
        ("broken", "not a readable recording"),
    ):
        assert any(f"{name}.wav" in line and why in line for line in told.err.splitlines()), name
    for one, sound in read(mine):
        assert one.speaker == "ann"
        assert (np.diff(one.ends) >= 0).all()
        assert one.ends[-1] == pytest.approx(len(sound) / RATE, abs=0.03)

    brief = (*ONE, "--crops", 2, "--tokens", 500, "--width", 6, "--steps", 3)
    run(
        voice,
        monkeypatch,
        "--corpus",
        packed,
        mine,
        "--start",
        start,
        "--out",
        tmp_path / "ann-voice",
        *brief,
    )
    before, after = (load_codec(path / "codec.pt").state_dict() for path in (start, tmp_path / "ann-voice"))
    moved = {name.split(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert "vocoder" in moved and not moved & {"encoder", "speaker"}
    assert (tmp_path / "ann-voice" / "small.safetensors").exists()


def test_a_strange_recording_is_not_aligned(
    trained: tuple[Path, list[str]], tmp_path: Path, monkeypatch
) -> None:
    soundfile.write(tmp_path / "one.wav", utterance("low", 0).waveform, RATE)
    (tmp_path / "one.txt").write_text(TEXTS[1])
    arguments = (tmp_path, "--codec", trained[0] / "codec.pt", "--worst", -0.01)
    with pytest.raises(SystemExit, match="no usable recording"):
        run(folder, monkeypatch, *arguments)
