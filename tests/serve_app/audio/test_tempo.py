from __future__ import annotations

import numpy as np
import pytest

from serve_app.audio.tempo import Tempo
from serve_app.cli.speaker import Speaker
from serve_app.config.settings import Settings

RATE = 16000


def tone(seconds: float, hertz: float = 220.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def through(tempo: Tempo, samples: np.ndarray, piece: int) -> np.ndarray:
    pieces = [tempo.process(samples[start : start + piece]) for start in range(0, len(samples), piece)]
    return np.concatenate([*pieces, tempo.finish()])


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.8, 1.25, 2.0, 4.0])
def test_length_follows_the_speed_and_pitch_stays(speed: float) -> None:
    slow = through(Tempo(RATE, speed), tone(3.0), piece=3200)
    assert len(slow) == pytest.approx(3.0 * RATE / speed, rel=0.05)
    middle = slow[len(slow) // 4 : len(slow) * 3 // 4]
    peak = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax() * RATE / len(middle)
    assert peak == pytest.approx(220.0, abs=4.0)


def test_pieces_of_any_length_give_the_same_samples() -> None:
    sound = tone(1.0) * np.linspace(0, 1, RATE, dtype=np.float32)
    np.testing.assert_array_equal(
        through(Tempo(RATE, 1.5), sound, piece=320), through(Tempo(RATE, 1.5), sound, piece=RATE)
    )


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
@pytest.mark.parametrize("speed", [0.25, 0.5, 0.9, 2.0, 3.9, 4.0])
@pytest.mark.parametrize("length", [1, 2, 3, 80, 320, 1024, 1025, 2049, 9_999])
def test_the_shortest_sound_has_the_right_length(rate: int, speed: float, length: int) -> None:
    sound = np.full(length, 0.3, np.float32)
    paced = through(Tempo(rate, speed), sound, piece=320)
    assert len(paced) == max(1, round(length / speed))
    assert np.abs(paced).max() > 0.1


def test_empty_input_gives_empty_output() -> None:
    assert len(Tempo(RATE, 4.0).finish()) == 0


def test_sound_comes_before_the_end() -> None:
    assert len(Tempo(RATE, 1.5).process(tone(0.5))) > 0.1 * RATE


def test_speed_divides_the_length_of_speech() -> None:
    text = "The train leaves the station at seven in the morning."
    with Speaker(Settings.from_args({"device": {"preference": "cpu"}})) as speaker:
        plain, fast, slow = (speaker.say(text, seed=1, speed=speed).seconds for speed in (1.0, 2.0, 0.5))
    assert fast == pytest.approx(plain / 2, rel=0.15)  # by the model's own durations
    assert slow == pytest.approx(plain * 2, rel=0.15)
