from __future__ import annotations

import numpy as np
import pytest
import torch

from deployments.engine.chunks import Chunker
from deployments.engine.device import Device
from deployments.families.base import VocodedChunk, VocoderChunk, VoicePrompt
from deployments.families.small.family import SmallFamily
from deployments.families.small.vocoder import SmallVocoder


@pytest.fixture(scope="module")
def vocoder(family: SmallFamily, cpu: Device) -> SmallVocoder:
    return family.vocoder(cpu)


@pytest.fixture(scope="module")
def prompt(prompts: dict[str, VoicePrompt]) -> VoicePrompt:
    return next(iter(prompts.values()))


def vocode(vocoder: SmallVocoder, chunks: list[VocoderChunk], codes: int = 0) -> list[VocodedChunk]:
    with torch.inference_mode():
        width = max(codes, *(len(chunk.frames) for chunk in chunks))
        return vocoder.split(vocoder.forward(vocoder.collate(chunks, len(chunks), width)), chunks)


def random_codes(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1000, count)


@pytest.mark.parametrize("first", [1, 3, 10, 37])
def test_chunks_add_up_to_the_whole(
    family: SmallFamily, vocoder: SmallVocoder, prompt: VoicePrompt, first: int
) -> None:
    codes = random_codes(120, seed=first)
    whole = vocode(vocoder, [VocoderChunk(codes, 0, 0, 0, prompt, seed=5)])[0].waveform
    chunker = Chunker(family.spec, first=first, growth=1.5, maximum=50)
    pieces, state = [], None
    for piece in [*chunker.push(codes), *chunker.finish()]:
        chunk = VocoderChunk(piece.frames, piece.left, piece.right, piece.first, prompt, 5, state)
        done = vocode(vocoder, [chunk], codes=len(piece.frames) + 3)[0]
        pieces.append(done.waveform)
        state = done.state
    assert len(whole) == 120 * family.spec.samples_per_code
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-4)


def test_every_offset_of_a_cut_gives_the_whole(
    family: SmallFamily, vocoder: SmallVocoder, prompt: VoicePrompt
) -> None:
    codes = random_codes(60, seed=9)
    whole = vocode(vocoder, [VocoderChunk(codes, 0, 0, 0, prompt, seed=5)])[0].waveform
    for cut in range(20, 28):
        right = min(family.spec.right_context, len(codes) - cut)
        left = min(family.spec.left_context, cut)
        head = vocode(vocoder, [VocoderChunk(codes[: cut + right], 0, right, 0, prompt, 5)])[0]
        tail = vocode(
            vocoder, [VocoderChunk(codes[cut - left :], left, 0, cut - left, prompt, 5, head.state)]
        )[0]
        np.testing.assert_allclose(np.concatenate([head.waveform, tail.waveform]), whole, atol=1e-4)


def test_a_chunk_sounds_the_same_behind_padding_and_beside_others(
    vocoder: SmallVocoder, prompt: VoicePrompt
) -> None:
    chunks = [VocoderChunk(random_codes(n, seed=n), 0, 0, 0, prompt, seed=n) for n in (30, 44, 25)]
    for chunk, beside in zip(chunks, vocode(vocoder, chunks, codes=50), strict=True):
        alone = vocode(vocoder, [chunk])[0]
        # the pulses' phase sums F0 over the chunk, so rounding shows in high harmonics; not in what is heard
        error = np.sqrt(np.mean((alone.waveform - beside.waveform) ** 2) / np.mean(alone.waveform**2))
        assert error < 1e-2


def test_the_noise_follows_the_seed(vocoder: SmallVocoder, prompt: VoicePrompt) -> None:
    codes = random_codes(30)
    one, same, other = (
        vocode(vocoder, [VocoderChunk(codes, 0, 0, 0, prompt, seed)])[0].waveform for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
