"""`training/` from a folder of recordings and texts to weights that speak, with each step shortened.

The recordings are the service's own speech. docs/voice.md describes the steps.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from safetensors.torch import load_file

from serve_app.cli.speaker import Speaker
from serve_app.config.settings import Settings
from training.corpus import Corpus
from training.shipped import WEIGHTS

TEXTS = (
    "The train leaves the station at seven in the morning.",
    "Nobody had told them that the shop was closed.",
    "Can you bring me a glass of water?",
    "Her brother lives in a small house near the river.",
    "We walked along the beach until the sun went down.",
    "There were twelve apples and three pears in the basket.",
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """Six usable recordings with different rates and channels, and four unusable ones."""
    folder = tmp_path_factory.mktemp("ann")
    with Speaker(Settings.from_args({"device": {"preference": "cpu"}})) as speaker:
        for index, text in enumerate(TEXTS):
            spoken = speaker.say(text, "ross", seed=index)
            sound = np.pad(spoken.waveform, spoken.rate // 2)
            if index == 1:
                sound = soxr.resample(np.stack([sound, 0.5 * sound], axis=1), spoken.rate, 44100)
            kind = "flac" if index == 2 else "wav"
            soundfile.write(folder / f"{index}.{kind}", sound, 44100 if index == 1 else spoken.rate)
            (folder / f"{index}.txt").write_text(text + "\n")
    for name, sound, text in (
        ("silent", np.zeros(32000), "Nothing at all."),
        ("short", 0.1 * np.ones(1600), "Hm."),
        ("script", 0.1 * np.sin(np.arange(32000)), "Привет, мир."),
        ("untold", 0.1 * np.sin(np.arange(32000)), None),
    ):
        soundfile.write(folder / f"{name}.wav", sound, 16000)
        if text is not None:
            (folder / f"{name}.txt").write_text(text)
    (folder / "broken.wav").write_bytes(b"RIFF but no more")
    (folder / "broken.txt").write_text("It cannot be read.")
    return folder


def run(module: str, *arguments: str | Path | float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"training.{module}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def corpus(recordings, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    (out / "notes.txt").write_text("not part of a corpus")
    result = run("folder", recordings, "--out", out)
    assert "6 utterances" in result.stdout
    for name, why in (
        ("silent", "silent"),
        ("short", "s are allowed"),
        ("script", "cannot be spoken"),
        ("untold", "untold.txt is missing"),
        ("broken", "cannot be spoken|cannot be read|not a readable recording"),
    ):
        line = next(line for line in result.stderr.splitlines() if f"{name}.wav" in line)
        assert any(reason in line for reason in why.split("|")), line
    run("align", "--data", out, "--recogniser", "shipped", "--ranks", 1)
    return out


def test_recordings_are_cut_levelled_and_aligned(recordings, corpus):
    made = Corpus(corpus)
    assert len(made) == len(TEXTS)
    assert set(made.speakers) == {recordings.name}
    assert (corpus / "notes.txt").exists()
    for index in range(len(made)):
        waveform = made.waveform(index)
        assert np.sqrt(np.mean(waveform**2)) == pytest.approx(0.08, rel=0.02)
        assert np.abs(waveform[:320]).max() < 0.05, "the pause before it was not cut"
        assert made.aligned(index)
        ids, ends = made.phones(index)
        assert len(ids) == len(ends)
        assert (np.diff(ends) >= 0).all()
        assert ends[-1] == pytest.approx(len(waveform) / 16000, abs=0.05)
        f0 = made.f0(index)
        assert 80 < np.median(f0[f0 > 0]) < 130, "ross speaks at about 100 Hz"


def test_from_recordings_to_weights_that_speak(corpus, tmp_path):
    codec, codes, gpt, weights = (tmp_path / name for name in ("codec.pt", "codes.pt", "gpt.pt", "weights"))
    brief = ("--ranks", 1, "--minutes", 0.15)
    run(
        "codec",
        "--data",
        corpus,
        "--warm",
        "shipped",
        "--freeze",
        "--recogniser",
        "shipped",
        "--checkpoint",
        codec,
        *brief,
    )
    run("encode", "--data", corpus, "--codec", codec, "--out", codes)
    assert len(torch.load(codes)) == len(TEXTS)
    run("gpt", "--codes", codes, "--warm", "shipped", "--checkpoint", gpt, "--rate", 2e-4, "--minutes", 0.15)
    run("export", "--codec", codec, "--gpt", gpt, "--out", weights)
    assert json.loads((weights / "small.json").read_text())["sample_rate"] == 16000
    shipped, made = (load_file(folder / "small.safetensors") for folder in (WEIGHTS, weights))
    moved = {
        name.partition(".")[0] for name, tensor in shipped.items() if not torch.equal(tensor, made[name])
    }
    assert moved == {"gpt", "vocoder", "timbre"}, "the meaning of codes and speakers must not change"
    family = {"name": "small", "options": {"weights": str(weights)}}
    with Speaker(Settings.from_args({"device": {"preference": "cpu"}, "family": family})) as speaker:
        spoken = speaker.say(TEXTS[0], "ross", seed=1)
    assert 1.5 < spoken.seconds < 5
    assert np.abs(spoken.waveform).max() > 0.05
