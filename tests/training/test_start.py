"""Weights of one phone set as the start for those of another."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import soxr
import torch

from deployments.families.small.config import SmallConfig
from deployments.families.small.features import LogMel
from deployments.families.small.phones import PHONE_SETS
from deployments.families.small.speaker import SpeakerEncoder
from deployments.families.small.vocoder_net import VocoderNet
from training.codec_net import Encoder
from training.next_voice import NEXT, PHONES
from training.start import phone_rows, similar, vocoder_phones, widened


@pytest.mark.parametrize(
    ("symbol", "old"),
    [
        *[("_", "_"), ("^", "pau"), (",", "pau"), (".", "pau"), ("?", "pau?"), ("!", "pau!")],
        *[("ˈA", "ey"), ("ˌI", "ay"), ("ɜ", "er"), ("t", "t"), ("B", "B"), ("UANG4", "UANG4")],
    ],
)
def test_a_phone_begins_as_the_most_similar_one(symbol, old):
    assert similar(symbol) == old


def test_every_phone_has_a_row_of_the_old_set():
    old = SmallConfig()
    rows = phone_rows(torch.arange(old.n_phones).unsqueeze(1), old)[:, 0].tolist()
    symbols = [PHONE_SETS["flite"].symbols[row] for row in rows]
    assert len(symbols) == len(PHONES.symbols)
    assert len(set(symbols)) > 0.8 * len(PHONE_SETS["flite"].symbols)


def test_the_same_set_stays():
    rows = torch.rand(NEXT.n_phones, 4)
    assert phone_rows(rows, NEXT) is rows


def test_the_vocoder_knows_no_phones_at_first_and_keeps_what_it_has_learned():
    old, name = replace(NEXT, vocoder_phones=False), "vocoder.phones.weight"
    assert not vocoder_phones({}, old)[name].any()
    rows = torch.rand(NEXT.n_phones, NEXT.vocoder_dim)
    assert vocoder_phones({name: rows}, NEXT)[name] is rows


@pytest.fixture
def narrow() -> tuple[SmallConfig, dict[str, torch.Tensor]]:
    """Weights at two thirds of the rate of NEXT, with random values."""
    own = {"hop": NEXT.hop * 2 // 3, "n_fft": NEXT.n_fft * 2 // 3, "n_mels": 80, "phase_filter": False}
    config = replace(NEXT, sample_rate=NEXT.sample_rate * 2 // 3, top_harmonic=7900.0, **own)
    torch.manual_seed(0)
    nets = {"encoder": Encoder(config), "speaker": SpeakerEncoder(config), "vocoder": VocoderNet(config)}
    state = {f"{name}.{key}": v.clone() for name, net in nets.items() for key, v in net.state_dict().items()}
    return config, state


def test_at_a_higher_rate_the_nets_hear_the_same(narrow):
    old, state = narrow
    seconds = torch.arange(NEXT.sample_rate) / NEXT.sample_rate
    voice = sum(torch.sin(2 * math.pi * 150 * k * seconds + k * k) / k for k in range(1, 40)).unsqueeze(0)
    voice = 0.05 * voice * (1.2 + torch.sin(2 * math.pi * 3 * seconds))
    lower = torch.from_numpy(soxr.resample(voice[0].numpy(), NEXT.sample_rate, old.sample_rate)).unsqueeze(0)
    heard = []
    for config, waveform, tensors in ((old, lower, state), (NEXT, voice, widened(state, old))):
        encoder, speaker = Encoder(config), SpeakerEncoder(config)
        for name, net in (("encoder", encoder), ("speaker", speaker)):
            own = {n.removeprefix(f"{name}."): v for n, v in tensors.items() if n.startswith(name)}
            net.load_state_dict(own)
        mel = LogMel(config)(waveform)
        flat = torch.zeros(mel.shape[:2])
        with torch.no_grad():
            heard.append((encoder(mel, flat, flat, mel.mean(1), flat[:, 0]), speaker(waveform)))
    for one, other in zip(*heard, strict=True):
        assert torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.99


def test_at_a_higher_rate_the_filters_stay(narrow):
    old, state = narrow
    nets = VocoderNet(old), VocoderNet(NEXT)
    for net, tensors in zip(nets, (state, widened(state, old)), strict=True):
        own = {n.removeprefix("vocoder."): v for n, v in tensors.items() if n.startswith("vocoder.")}
        net.load_state_dict(own)
    hidden = torch.randn(1, 3, old.vocoder_dim)
    with torch.no_grad():
        before, after = (net.filters(hidden) for net in nets)
    known = old.n_bins * 31 // 32
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(other[..., :known].abs(), one[..., :known] * 1.5**0.5)
    assert NEXT.phase_filter and not after[0].imag.any()


def test_bins_of_another_width_are_refused(narrow):
    old, state = narrow
    with pytest.raises(ValueError, match="n_fft and hop"):
        widened(state, replace(old, n_fft=1024))
