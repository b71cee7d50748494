from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from deployments.contract.device import Device
from deployments.contract.errors import InvalidInput
from deployments.contract.speech import Reference, VoicePrompt
from deployments.families.small.family import SmallFamily
from deployments.families.small.voice import SmallVoiceEncoder, trim_silence

VOICES = sorted(Path("deployments/families/small/voices").glob("*.flac"))


@pytest.fixture(scope="module")
def encoder(family: SmallFamily, cpu: Device) -> SmallVoiceEncoder:
    return family.voice_encoder(cpu)


def similarity(one: VoicePrompt, two: VoicePrompt) -> float:
    a, b = one.tensors["speaker"], two.tensors["speaker"]
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_loudness_rate_and_edge_silence_do_not_change_the_voice(encoder: SmallVoiceEncoder) -> None:
    waveform, rate = soundfile.read(VOICES[0], dtype="float32")
    plain = encoder.encode(Reference.of(waveform, rate))
    silence = np.zeros(rate, np.float32)
    altered = {
        "quiet": (0.1 * waveform, rate),
        "44.1 kHz": (soxr.resample(waveform, rate, 44100), 44100),
        "silent edges": (np.concatenate([silence, waveform, silence]), rate),
    }
    others = [encoder.encode(Reference.of(*soundfile.read(path, dtype="float32"))) for path in VOICES[1:]]
    for name, (samples, its_rate) in altered.items():
        prompt = encoder.encode(Reference.of(samples, its_rate))
        assert similarity(plain, prompt) > 0.97, name
        assert similarity(plain, prompt) > max(similarity(plain, other) for other in others), name


def test_a_thump_does_not_displace_a_quiet_voice() -> None:
    waveform, rate = soundfile.read(VOICES[0], dtype="float32")
    thump = 0.7 * np.hanning(rate // 20).astype(np.float32)
    quiet = trim_silence(np.concatenate([thump, 0.003 * waveform]), rate)
    assert len(quiet) >= len(trim_silence(waveform, rate))


@pytest.mark.parametrize("volume", [0.1, 0.03])
def test_a_thump_does_not_change_the_voice(encoder: SmallVoiceEncoder, volume: float) -> None:
    waveform, rate = soundfile.read(VOICES[0], dtype="float32")
    thump = np.random.default_rng(0).uniform(-0.5, 0.5, rate // 20).astype(np.float32)
    for pieces in ((thump, volume * waveform), (volume * waveform[:rate], thump, volume * waveform[rate:])):
        thumped, plain = (
            encoder.encode(Reference.of(np.concatenate(pieces), rate)),
            encoder.encode(Reference.of(waveform, rate)),
        )
        assert similarity(plain, thumped) > 0.97
        np.testing.assert_allclose(
            thumped.tensors["speaker"][-2:], plain.tensors["speaker"][-2:], atol=0.05
        )  # F0
        apart = thumped.tensors["timbre"] - plain.tensors["timbre"]
        assert np.sqrt(np.mean(apart**2)) < 0.1


def test_the_two_halves_of_a_recording_are_closest_to_each_other(encoder: SmallVoiceEncoder) -> None:
    halves = []
    for path in VOICES:
        waveform, rate = soundfile.read(path, dtype="float32")
        middle = len(waveform) // 2
        halves.append(
            [encoder.encode(Reference.of(part, rate)) for part in (waveform[:middle], waveform[middle:])]
        )
    for index, (first, _) in enumerate(halves):
        nearest = max(range(len(halves)), key=lambda other: similarity(first, halves[other][1]))
        assert nearest == index, VOICES[index].stem


def test_the_key_names_the_content(encoder: SmallVoiceEncoder) -> None:
    waveform, rate = soundfile.read(VOICES[0], dtype="float32")
    one, two = encoder.encode(Reference.of(waveform, rate)), encoder.encode(Reference.of(waveform, rate))
    assert one.key == two.key
    assert VoicePrompt.from_bytes("small", one.to_bytes()).key == one.key
    assert encoder.encode(Reference.of(waveform[: 2 * rate], rate)).key != one.key


@pytest.mark.parametrize(
    ("waveform", "reason"),
    [
        (np.zeros(32000, np.float32), "silent"),
        (np.zeros(0, np.float32), "silent"),
        (np.full(800, 0.1, np.float32), "at least"),
    ],
)
def test_unusable_references_are_refused(
    encoder: SmallVoiceEncoder, waveform: np.ndarray, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        encoder.encode(Reference.of(waveform, 16000))
    assert caught.value.param == "reference_audio"
