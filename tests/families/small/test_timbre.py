"""The correction of the vocoder's filters by a recording's long-term spectrum."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from safetensors.torch import load_file, save_file

from deployments.contract.device import Device
from deployments.contract.errors import ConfigError
from deployments.contract.speech import Reference, VocoderChunk, VoicePrompt
from deployments.families.small.family import WEIGHTS, SmallFamily, load
from deployments.families.small.features import LogMel
from deployments.families.small.timbre import MOST, Timbre
from deployments.families.small.vocoder import SmallVocoder
from deployments.families.small.vocoder_net import VocoderNet
from deployments.families.small.voice import SmallVoiceEncoder

CONFIG = load({}).config
RATE, BINS = CONFIG.sample_rate, CONFIG.n_bins
RECORDINGS = Path("deployments/families/small/voices")
VOICES = sorted(path.stem for path in RECORDINGS.glob("*.flac"))
DB = 20 / np.log(10)


def reference(voice: str) -> np.ndarray:
    waveform, rate = soundfile.read(RECORDINGS / f"{voice}.flac", dtype="float32")
    return waveform if rate == RATE else soxr.resample(waveform, rate, RATE)


@pytest.fixture(scope="module")
def encoder(family: SmallFamily, cpu: Device) -> SmallVoiceEncoder:
    return family.voice_encoder(cpu)


def brighter(waveform: np.ndarray, gain_db: float, above_hz: float = 2000.0) -> np.ndarray:
    spectrum = np.fft.rfft(waveform)
    hz = np.linspace(0, RATE / 2, len(spectrum))
    made = np.fft.irfft(spectrum * np.where(hz > above_hz, 10 ** (gain_db / 20), 1.0), len(waveform))
    return made.astype(np.float32)


def timbre(encoder: SmallVoiceEncoder, waveform: np.ndarray) -> np.ndarray:
    return encoder.encode(Reference.of(waveform, RATE)).tensors["timbre"]


def above(spectrum: np.ndarray, hz: float = 2000.0) -> float:
    """The level above `hz` relative to the level below, in dB."""
    at = int(hz / (RATE / 2) * len(spectrum))
    return float(spectrum[at + 10 :].mean() - spectrum[10 : at - 10].mean()) * DB


def test_the_correction_is_smooth_and_bounded(encoder: SmallVoiceEncoder) -> None:
    for gain in (-16.0, -12.0, 16.0, 40.0):
        added = timbre(encoder, brighter(reference("ross"), gain))
        assert added.shape == (BINS,) and added.dtype == np.float32
        assert 0.1 < np.abs(added).max() < 2 * MOST
        assert np.abs(np.diff(added)).max() * DB < 3


def test_voices_seen_in_training_are_hardly_corrected(encoder: SmallVoiceEncoder) -> None:
    for voice in VOICES:
        assert np.sqrt(np.mean(timbre(encoder, reference(voice)) ** 2)) * DB < 1.0, voice


@pytest.mark.parametrize("gain", [-16.0, 16.0])
def test_a_brighter_recording_makes_a_brighter_voice(encoder: SmallVoiceEncoder, gain: float) -> None:
    """The vector follows part of the change and the timbre corrects the rest, so the sound follows most of it."""
    part, vectors, net = encoder.timbre, [], encoder.net
    for waveform in (reference("ross"), brighter(reference("ross"), gain)):
        with torch.inference_mode():
            vector = net(torch.from_numpy(waveform).unsqueeze(0))[0]
            own = part.log_mel(part.speech(vector))[0].mean(0)
        vectors.append(above((part.to_bins @ own).numpy()))
    by_vector, added = vectors[1] - vectors[0], above(timbre(encoder, brighter(reference("ross"), gain)))
    assert 2.0 < added * np.sign(gain) < 12.0
    assert 0.5 < (by_vector + added) / gain < 1.1


def test_bands_cut_off_by_a_telephone_are_not_corrected(encoder: SmallVoiceEncoder) -> None:
    narrow = soxr.resample(soxr.resample(reference("ross"), RATE, 8000), 8000, RATE)
    cut = round(4700 / (RATE / 2) * BINS)
    assert np.abs(timbre(encoder, narrow)[cut:]).max() * DB < 6.0


def test_the_correction_keeps_the_loudness(
    encoder: SmallVoiceEncoder, family: SmallFamily, cpu: Device
) -> None:
    codes = encoder.timbre.codes.numpy()
    for gain in (-16.0, 16.0):
        prompt = encoder.encode(Reference.of(brighter(reference("ross"), gain), RATE))
        plain = VoicePrompt.of("small", {"speaker": prompt.tensors["speaker"]})
        made, other = (vocoded(family.vocoder(cpu), codes, one) for one in (prompt, plain))
        assert np.abs(made - other).max() > 0.01
        assert 20 * np.log10(np.sqrt((made**2).mean() / (other**2).mean())) == pytest.approx(0.0, abs=1.0)


@torch.inference_mode()
def vocoded(vocoder: SmallVocoder, codes: np.ndarray, prompt: VoicePrompt) -> np.ndarray:
    chunk = VocoderChunk(codes, 0, 0, 0, prompt, 1)
    forward = vocoder.packing.forward or vocoder.forward
    return vocoder.split(forward(vocoder.collate([chunk], 1, len(codes))), [chunk])[0].waveform


@torch.inference_mode()
def test_both_vocoder_implementations_apply_it_equally(family: SmallFamily, cpu: Device) -> None:
    vocoder = family.vocoder(cpu)
    assert isinstance(vocoder, SmallVocoder) and vocoder.cpu is not None
    timbre = np.linspace(-0.5, 0.5, BINS, dtype=np.float32)
    speaker = np.random.default_rng(0).standard_normal(CONFIG.speaker_dim).astype(np.float32)
    voice = {"speaker": speaker, "timbre": timbre}
    chunk = VocoderChunk(np.arange(0, 2000, 50), 0, 0, 0, VoicePrompt.of("small", voice), 1)
    inputs = vocoder.collate([chunk], 1, 40)
    packed = vocoder.packing.forward
    assert packed is not None
    lean, plain = packed(inputs), vocoder.forward(inputs)
    assert torch.allclose(lean["waveform"], plain["waveform"], atol=1e-4)
    neutral = VoicePrompt.of("small", {"speaker": voice["speaker"]})
    other = packed(vocoder.collate([VocoderChunk(chunk.frames, 0, 0, 0, neutral, 1)], 1, 40))
    assert not torch.allclose(lean["waveform"], other["waveform"], atol=1e-3)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda codes: None, "is missing"),
        (lambda codes: codes + CONFIG.n_units, rf"outside 0\.\.{CONFIG.n_units - 1}"),
        (lambda codes: codes.reshape(1, -1), "not a row of codes"),
        (lambda codes: codes[:0], "not a row of codes"),
    ],
)
def test_weights_without_calibration_sentences_are_refused(
    tmp_path: Path, cpu: Device, spoil: Callable[[torch.Tensor], torch.Tensor | None], reason: str
) -> None:
    tensors = load_file(WEIGHTS / "small.safetensors")
    codes = spoil(tensors.pop("timbre.codes"))
    save_file(tensors | ({} if codes is None else {"timbre.codes": codes}), tmp_path / "small.safetensors")
    (tmp_path / "small.json").write_bytes((WEIGHTS / "small.json").read_bytes())
    with pytest.raises(ConfigError, match=reason):
        load({"weights": tmp_path}).voice_encoder(cpu)


def test_a_difference_is_corrected_in_part(family: SmallFamily) -> None:
    """With known speech, a missing band is restored, except for the part that may be chance."""

    class Known(VocoderNet):
        def forward(self, *args, **kwargs):
            return noise, None

    noise = 0.1 * torch.randn(1, 4 * RATE, generator=torch.Generator().manual_seed(0))
    mel = LogMel(family.config)
    timbre = Timbre(Known(family.config), torch.zeros(50, dtype=torch.int64), mel)
    added = {}
    for gain in (1.0, 8.0, 14.0):
        wanted = torch.from_numpy(brighter(noise[0].numpy(), gain, 4000.0)).unsqueeze(0)
        added[gain] = above(timbre(torch.zeros(CONFIG.speaker_dim), mel(wanted)[0]).numpy(), 4000.0)
    assert added[1.0] == 0.0
    assert 2.0 < added[8.0] < 6.0
    assert added[8.0] / 8 < added[14.0] / 14 <= 1.0
