"""The VITS decoder against the published code's tensors, block by block."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from deployments.families.gpt_sovits.checkpoints import read_sovits
from deployments.families.gpt_sovits.vits.attention import banded, unbanded
from deployments.families.gpt_sovits.vits.encoder import embedded, faster
from deployments.families.gpt_sovits.vits.synthesizer import Synthesizer
from tests.families.gpt_sovits.files import AUDIO, HIDDEN, PRIOR, VITS, decoded, near, sovits_path

BLOCKS = ("v2", "v2Pro")  # those with the tensors of every block


class Decoder:
    """A version's network, its golden tensors, and the inputs that they were made from."""

    def __init__(self, golden: Path, golden_v1: Path, version: str) -> None:
        self.version = version
        sovits = read_sovits(sovits_path(golden, golden_v1, version))
        self.net = Synthesizer.load(sovits, sovits.tensors()).eval()
        self.expected = decoded(golden, golden_v1, version)
        self.codes = self.expected["s2.codes"][None]
        self.phones = self.expected["s2.phones_v1" if version == "v1" else "s2.phones"][None]
        self.speaker = self[".ge"][None]

    def __getitem__(self, name: str) -> Tensor:
        return self.expected[f"{self.version}{name}"]

    def latents(self, codes: int = 40, speed: float = 1.0) -> Tensor:
        latents, _ = self.net.latents(self.codes[:, :codes], self.phones, self.speaker)
        return faster(latents, speed)

    def sound(self, latents: Tensor, noise: Tensor | None = None) -> Tensor:
        if noise is None:
            noise = torch.zeros(1, self.net.channels, latents.shape[2])
        return self.net.sound(latents, self.speaker, noise)[0]

    def check(self, found: Tensor, name: str) -> None:
        """Some waveforms are stored by their beginning, length and RMS."""
        wanted = self[name]
        if f"{self.version}{name}.full_len" in self.expected:
            assert len(found) == self[f"{name}.full_len"].item()
            near(found.square().mean().sqrt(), self[f"{name}.rms"][0], **AUDIO)
        near(found[: len(wanted)], wanted, **AUDIO)


@pytest.fixture(scope="module", params=[*VITS, "v1"])
def decoder(request, gpt_sovits, gpt_sovits_v1) -> Decoder:
    return Decoder(gpt_sovits, gpt_sovits_v1, request.param)


@pytest.fixture(scope="module", params=BLOCKS)
def whole(request, gpt_sovits, gpt_sovits_v1) -> Decoder:
    return Decoder(gpt_sovits, gpt_sovits_v1, request.param)


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def test_prior_flow_and_sound(decoder):
    latents = decoder.latents()
    mean, log_std = decoder.net.enc_p.prior(latents)
    near(mean[0], decoder[".m_p"], **PRIOR)
    near(log_std[0], decoder[".logs_p"], **PRIOR)
    z = decoder.net.z(latents, decoder.speaker, torch.zeros_like(mean))
    near(z[0], decoder[".z_noise0"], **PRIOR)
    decoder.check(decoder.sound(latents), ".audio_noise0")


def test_blocks_of_the_encoder(whole):
    encoder = whole.net.enc_p
    content = encoder.content(embedded(whole.net.codebook, whole.codes))
    near(content[0], whole[".encoder_ssl"], **HIDDEN)
    text = encoder.text(whole.phones)
    near(text[0], whole[".encoder_text"], **HIDDEN)
    style = whole.speaker
    if whole.net.ge_to512 is not None:
        style = whole.net.ge_to512(style)
        near(style[0], whole[".ge512"], **HIDDEN)
    mixed, _ = encoder.mrte(content, None, text, None, style.unsqueeze(-1))
    near(mixed[0], whole[".mrte"], **HIDDEN)
    near(encoder.encoder2(mixed)[0], whole[".encoder2"], **HIDDEN)


@pytest.mark.parametrize("context", [(0, 12), (12, 12), (12, 0), (3, 14), (30, 1)])
def test_with_context_only_what_is_wanted_is_computed(whole, context):
    z = torch.randn(1, whole.net.channels, 70, generator=torch.Generator().manual_seed(0))
    speaker, rate = whole.speaker.unsqueeze(-1), whole.net.samples_per_frame
    sound = whole.net.dec(z, speaker)[:, context[0] * rate : (70 - context[1]) * rate]
    near(whole.net.dec(z, speaker, context=context), sound, **AUDIO)
    widths: list[int] = []
    hook = whole.net.dec.conv_post.register_forward_hook(lambda _, x, y: widths.append(y.shape[2]))
    whole.net.dec(z, speaker, context=context)
    hook.remove()
    assert sound.shape[1] <= widths[0] < sound.shape[1] + 2 * rate


def test_noise_of_half_the_deviation(whole):
    noise = 0.5 * whole.expected["s2.noise"]
    whole.check(whole.sound(whole.latents(), noise), ".audio_noise_stored_scale0.5")


def test_speed(whole):
    whole.check(whole.sound(whole.latents(speed=1.25)), ".audio_noise0_speed1.25")
    slow = whole.sound(whole.latents(speed=0.8))
    assert len(slow) == whole[".audio_noise0_speed0.8_len"].item()


def test_the_published_stream(whole):
    """Codes are encoded again with each chunk, and the last latents of the chunk before fade into the new ones."""
    first = whole.latents(codes=24)
    near(whole.sound(first)[-2560:], whole[".stream_chunk1_audio_tail"], **AUDIO)
    tail = first[:, :, -4:]
    near(tail[0], whole[".stream_latent1_tail"], **HIDDEN)
    second = whole.latents(codes=40)[:, :, -36:].clone()
    window = torch.sin(torch.pi * torch.arange(8) / 8)
    second[:, :, :4] = second[:, :, :4] * window[:4] + tail * window[4:]
    whole.check(whole.sound(second), ".stream_chunk2_audio")


@pytest.mark.parametrize("length", [1, 3, 9, 20])
def test_bands_are_the_relative_positions(length):
    values = torch.randn(2, length, 9)
    matrix = banded(values, length)
    for i in range(length):
        for j in range(length):
            near = abs(i - j) <= 4
            assert torch.equal(matrix[:, i, j], values[:, i, j - i + 4] if near else torch.zeros(2))
    again = unbanded(matrix, 4)
    inside = (torch.arange(length)[:, None] + torch.arange(-4, 5)).clamp(-1, length)
    kept = (inside >= 0) & (inside < length)
    assert torch.equal(again, torch.where(kept, values, 0))
