"""What is taken of a reference against the published code's tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deployments.contract.errors import InvalidInput
from deployments.contract.speech import Reference
from deployments.families.checkpoint import read_tensors
from deployments.families.gpt_sovits.checkpoints import read_sovits
from deployments.families.gpt_sovits.eres2net import Eres2Net
from deployments.families.gpt_sovits.hubert import Hubert
from deployments.families.gpt_sovits.quantizer import Quantizer
from deployments.families.gpt_sovits.spectrum import (
    TAIL,
    content_samples,
    filter_banks,
    spectrogram,
    timbre_samples,
)
from deployments.families.gpt_sovits.vits.synthesizer import Synthesizer
from deployments.families.gpt_sovits.voice import GptSovitsVoiceEncoder, Timbre
from tests.families.gpt_sovits.files import (
    AUDIO,
    HIDDEN,
    VITS,
    decoded,
    near,
    recording,
    reference,
    sovits_path,
    tensors,
)

SPECTRUM = {"atol": 1e-3, "rtol": 1e-4}
SPEAKER = "sv/pretrained_eres2netv2w24s4ep4.ckpt"


class NoText:
    """Of a voice without a transcript."""

    def prompt(self, text: str, language: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        raise AssertionError("there is no transcript")


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def facts(gpt_sovits):
    return tensors(gpt_sovits / "ref_golden.safetensors")


@pytest.fixture(scope="module")
def hubert(gpt_sovits) -> Hubert:
    return Hubert.load(gpt_sovits / "bundle" / "chinese-hubert-base").eval()


@pytest.fixture(scope="module")
def speaker(gpt_sovits) -> Eres2Net:
    return Eres2Net.load(gpt_sovits / "bundle" / SPEAKER).eval()


@pytest.fixture(scope="module")
def features(gpt_sovits, hubert):
    with torch.inference_mode():
        samples = content_samples(*recording(gpt_sovits / "ref.wav"))
        return hubert(F.pad(samples, (0, TAIL))[None])


def encoder_of(path, hubert, speaker) -> GptSovitsVoiceEncoder:
    sovits = read_sovits(path)
    own = speaker if sovits.pro else None
    return GptSovitsVoiceEncoder(sovits, sovits.tensors(), hubert, own, NoText(), torch.device("cpu"))


def test_voices_mixed_later_have_the_timbre_of_their_recordings_together(gpt_sovits, hubert, speaker):
    encoder = encoder_of(gpt_sovits / "bundle" / "s2_v2Pro.pth", hubert, speaker)
    names = ("ref.wav", "ref_aux.wav")
    together = encoder.encode(reference(gpt_sovits, *names))
    one, other = (encoder.encode(reference(gpt_sovits, name)) for name in names)
    mixed = one.mixed([other], ("ge",))
    assert mixed.tensors.keys() == together.tensors.keys() and mixed.key != one.key
    np.testing.assert_allclose(mixed.tensors["ge"], together.tensors["ge"], atol=1e-6)
    for name in ("codes", "phones"):
        np.testing.assert_array_equal(mixed.tensors[name], one.tensors[name])


def test_samples_for_the_content(gpt_sovits, facts):
    near(content_samples(*recording(gpt_sovits / "ref.wav")), facts["ref.wav16k_librosa"], atol=1e-6)


def test_hubert(features, facts):
    near(features[0], facts["ref.hubert_last_hidden"], **HIDDEN)


@pytest.mark.parametrize("version", [*VITS, "v1"])
def test_codes(gpt_sovits, gpt_sovits_v1, features, facts, version):
    loaded = read_sovits(sovits_path(gpt_sovits, gpt_sovits_v1, version)).tensors()
    quantizer = Quantizer.load(loaded, "s2")
    assert torch.equal(quantizer(features)[0], facts[f"{version}.prompt_codes"])
    if version == "v2Pro":
        near(quantizer.ssl_proj(features)[0], facts["v2Pro.ssl_proj"], **HIDDEN)


@pytest.mark.parametrize("name", ["ref", "ref_aux"])
def test_spectrum_and_speaker(gpt_sovits, facts, speaker, name):
    samples = timbre_samples(*recording(gpt_sovits / f"{name}.wav"))
    near(samples[:4096], facts[f"{name}.audio32k"], atol=1e-6)
    spectrum = spectrogram(samples)
    assert [1, *spectrum.shape] == facts[f"{name}.spec_shape"].tolist()
    near(spectrum[:, :24], facts[f"{name}.spec"], **SPECTRUM)
    near(spectrum.sum(0), facts[f"{name}.spec_sum_per_frame"], atol=1e-2, rtol=1e-4)
    banks, wanted = filter_banks(samples), facts[f"{name}.sv_fbank"]
    near(banks[: len(wanted)], wanted, atol=2e-3)
    near(speaker(banks[None])[0], facts[f"{name}.sv_embedding"], atol=1e-3, rtol=1e-3)


def test_the_head_of_the_speaker_network_is_another_embedding(gpt_sovits, facts, speaker):
    """The file holds one: a linear map of the mean and the deviation over time. The models were trained without it."""
    loaded = read_tensors(gpt_sovits / "bundle" / SPEAKER)
    frames = speaker.frames(facts["ref.sv_fbank"][None])
    pooled = torch.cat([frames.mean(-1), (frames.var(-1) + 1e-8).sqrt()], dim=1)
    head = F.linear(pooled, loaded["seg_1.weight"], loaded["seg_1.bias"])
    near(head[0], facts["ref.sv_embedding_seg1_unused"], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("version", [*VITS, "v1"])
def test_timbre(gpt_sovits, gpt_sovits_v1, facts, hubert, speaker, version):
    path, expected = (
        sovits_path(gpt_sovits, gpt_sovits_v1, version),
        decoded(gpt_sovits, gpt_sovits_v1, version),
    )
    sovits = read_sovits(path)
    timbre = Timbre(sovits, sovits.tensors())
    spectrum = spectrogram(timbre_samples(*recording(gpt_sovits / "ref.wav")))[None]
    near(timbre.ref_enc(spectrum)[0], expected[f"{version}.ref_enc"], **HIDDEN)
    if timbre.sv_emb is not None:
        near(timbre.sv_emb(facts["ref.sv_embedding"]), expected[f"{version}.sv_proj"], **HIDDEN)
    prompt = encoder_of(path, hubert, speaker).encode(reference(gpt_sovits, "ref.wav"))
    near(prompt.tensors["ge"], expected[f"{version}.ge"], **HIDDEN)
    assert not len(prompt.tensors["codes"]) and not len(prompt.tensors["phones"])


def test_several_references_mix_their_timbres(gpt_sovits, gpt_sovits_v1, hubert, speaker):
    encoder = encoder_of(sovits_path(gpt_sovits, gpt_sovits_v1, "v2Pro"), hubert, speaker)
    both, first, second = (
        encoder.encode(reference(gpt_sovits, *names)).tensors["ge"]
        for names in (("ref.wav", "ref_aux.wav"), ("ref.wav",), ("ref_aux.wav",))
    )
    np.testing.assert_allclose(both, (first + second) / 2, atol=1e-6)
    assert np.abs(first - second).max() > 0.01
    expected = tensors(gpt_sovits / "sovits_golden.safetensors")
    net = Synthesizer.load(encoder.sovits, encoder.sovits.tensors())
    style = torch.from_numpy(both)[None]
    latents, _ = net.latents(expected["s2.codes"][None], expected["s2.phones"][None], style)
    sound = net.sound(latents, style, torch.zeros(1, net.channels, latents.shape[2]))[0]
    near(sound[:8000], expected["v2Pro.audio_noise0_tworefs"], **AUDIO)


@pytest.mark.parametrize("seconds", [2.9, 10.1])
def test_a_reference_must_have_3_to_10_seconds(gpt_sovits, gpt_sovits_v1, hubert, speaker, seconds):
    encoder = encoder_of(sovits_path(gpt_sovits, gpt_sovits_v1, "v2"), hubert, None)
    waveform = np.random.default_rng(0).standard_normal(int(seconds * 16000), np.float32)
    with pytest.raises(InvalidInput, match=rf"{seconds:.2f} s long; this model needs 3 to 10 s") as error:
        encoder.encode(Reference.of(waveform, 16000))
    assert error.value.param == "reference_audio"
