"""A vocoder with a phase filter and phones, at another rate: the same sound whole, in chunks and in both programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from deployments.contract.speech import VocoderChunk, VoicePrompt
from deployments.families.small.config import SmallConfig
from deployments.families.small.source_filter import SourceFilter
from deployments.families.small.vocoder import SmallVocoder
from deployments.families.small.vocoder_net import VocoderNet

CONFIG = SmallConfig(
    sample_rate=24000,
    hop=240,
    n_fft=768,
    top_harmonic=11900.0,
    vocoder_dim=64,
    vocoder_hidden=128,
    phase_filter=True,
    vocoder_phones=True,
)
UNITS = np.random.default_rng(0).integers(0, CONFIG.n_units, 40)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the service, whose rows keep their bits with one thread (deployments/engine/invariant.py)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network(phase: float = 1.0) -> VocoderNet:
    torch.manual_seed(0)
    net = VocoderNet(CONFIG)
    torch.nn.init.normal_(net.pitch_head.bias[1:], 3.0)
    torch.nn.init.normal_(net.filter_head.weight[2 * CONFIG.n_bins :], std=phase * 0.3)
    return net.eval()


def voice(seed: int = 0) -> VoicePrompt:
    rng = np.random.default_rng(seed)
    sizes = {"speaker": CONFIG.speaker_dim, "timbre": CONFIG.n_bins}
    made = {name: 0.3 * rng.standard_normal(size).astype(np.float32) for name, size in sizes.items()}
    return VoicePrompt.of("small", made)


@torch.inference_mode()
def spoken(vocoder: SmallVocoder, chunks: list[VocoderChunk]) -> list[np.ndarray]:
    longest = max(len(chunk.frames) for chunk in chunks)
    inputs = vocoder.collate(chunks, len(chunks), longest)
    return [
        one.waveform for one in vocoder.split((vocoder.packing.forward or vocoder.forward)(inputs), chunks)
    ]


def whole(seed: int = 0, units: np.ndarray = UNITS) -> VocoderChunk:
    return VocoderChunk(units, 0, 0, 0, voice(seed), 1)


def test_both_programs_and_both_transforms_give_the_same_sound() -> None:
    net, cpu = network(), torch.device("cpu")
    packed, padded = SmallVocoder(net, cpu, packed=True), SmallVocoder(net, cpu, packed=False)
    (lean,), (plain,) = spoken(packed, [whole()]), spoken(padded, [whole()])
    assert len(lean) == 40 * CONFIG.samples_per_code and np.abs(lean).max() > 0.05
    np.testing.assert_allclose(lean, plain, atol=2e-4)
    net.source_filter.matmul_dft = True
    np.testing.assert_allclose(spoken(padded, [whole()])[0], plain, atol=2e-4)


def test_a_row_does_not_depend_on_its_batch() -> None:
    vocoder = SmallVocoder(network(), torch.device("cpu"), packed=True)
    (alone,) = spoken(vocoder, [whole()])
    others = [whole(1, UNITS[:17]), whole(), whole(2, UNITS[3:31])]
    np.testing.assert_array_equal(spoken(vocoder, others)[1], alone)


def test_chunks_join_to_the_whole_sound() -> None:
    vocoder = SmallVocoder(network(), torch.device("cpu"), packed=True)
    left, right = CONFIG.left_context, CONFIG.right_context
    state, parts = None, []
    with torch.inference_mode():
        for start in range(0, len(UNITS), 10):
            begin, end = max(0, start - left), min(len(UNITS), start + 10 + right)
            context = (start - begin, end - min(len(UNITS), start + 10))
            chunk = VocoderChunk(UNITS[begin:end], *context, begin, voice(), 1, state=state)
            inputs = vocoder.collate([chunk], 1, len(chunk.frames))
            assert vocoder.packing.forward is not None
            (made,) = vocoder.split(vocoder.packing.forward(inputs), [chunk])
            state = made.state
            parts.append(made.waveform)
    np.testing.assert_allclose(np.concatenate(parts), spoken(vocoder, [whole()])[0], atol=2e-4)


def test_the_phase_changes_the_waveform_and_hardly_the_spectrum() -> None:
    source, frames = SourceFilter(CONFIG), 60
    f0, ones = torch.full((1, frames), 120.0), torch.ones(1, frames)
    pulses = source.pulses(f0, ones, source.frame_phase(f0, ones)[:, :-1], ones)
    magnitude = torch.full((1, frames, CONFIG.n_bins), 0.1)
    bins = torch.arange(CONFIG.n_bins) / CONFIG.n_bins
    turned = torch.polar(magnitude, (8 * bins**2).expand_as(magnitude))
    plain, other = (
        source(pulses, torch.zeros_like(pulses), filters, torch.zeros_like(magnitude), ones)[0, 2400:-2400]
        for filters in (magnitude, turned)
    )
    assert (plain - other).abs().max() > 0.3 * plain.abs().max()
    spectra = [torch.fft.rfft(x * torch.hann_window(len(x))).abs()[:4000] for x in (plain, other)]
    assert float(spectra[1].norm() / spectra[0].norm()) == pytest.approx(1.0, abs=0.03)
    assert float((spectra[1] - spectra[0]).norm() / spectra[0].norm()) < 0.15


def test_without_a_phase_filter_a_net_makes_two_magnitudes() -> None:
    assert VocoderNet(replace(CONFIG, phase_filter=False)).filter_head.out_features == 2 * CONFIG.n_bins
