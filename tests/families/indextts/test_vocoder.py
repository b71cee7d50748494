from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from deployments.contract.device import Device
from deployments.contract.family import FamilySpec, VocoderModel
from deployments.contract.speech import VocodedChunk, VocoderChunk, VoicePrompt
from deployments.engine.vocode.chunks import Chunker
from deployments.families.checkpoint import read_tensors
from deployments.families.indextts.config import read_config
from deployments.families.indextts.family import IndexFamily, IndexOptions
from deployments.families.indextts.vocoder import IndexVocoder, read_bigvgan
from tests.golden.indextts_set import SOUNDS

RATE = 1024


WAYS = ("exactly", "together")  # the CPU's and an accelerator's path


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def vocoder(golden: Path) -> IndexVocoder:
    config = read_config(golden / "checkpoint")
    tensors = read_tensors(golden / "checkpoint" / config.bigvgan_checkpoint)
    return IndexVocoder(read_bigvgan(tensors, config), torch.device("cpu"))


@pytest.fixture(scope="module")
def spec(golden: Path) -> FamilySpec:
    return IndexFamily(IndexOptions(model_dir=golden / "checkpoint")).spec


@pytest.fixture(scope="module")
def prompts(expected: Callable[[str], dict[str, Tensor]]) -> list[VoicePrompt]:
    """Prompts of different speakers."""
    speaker = expected("reference")["speaker_embedding"].flatten().numpy()
    return [VoicePrompt.of("indextts", {"speaker": value}) for value in (speaker, speaker[::-1], 2 * speaker)]


def vocode(
    vocoder: IndexVocoder, chunks: list[VocoderChunk], way: str = "exactly", frames: int = 0, batch: int = 0
) -> list[VocodedChunk]:
    frames = max(frames, *(len(chunk.frames) for chunk in chunks))
    inputs = vocoder.collate(chunks, max(batch, len(chunks)), frames)
    return vocoder.split(getattr(vocoder, way)(inputs), chunks)


def latents(frames: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, width), dtype=np.float32)


def chunk_of(whole: VocoderChunk, start: int, stop: int, around: int) -> VocoderChunk:
    """Frames start..stop with their context."""
    left, right = min(around, start), min(around, len(whole.frames) - stop)
    return replace(
        whole, frames=whole.frames[start - left : stop + right], left=left, right=right, first=start - left
    )


def cut_up(whole: VocoderChunk, spec: FamilySpec, **schedule: float) -> list[VocoderChunk]:
    chunker = Chunker(spec, **schedule)  # pyright: ignore[reportArgumentType]
    pieces = [*chunker.push(whole.frames), *chunker.finish()]
    return [
        replace(whole, frames=piece.frames, left=piece.left, right=piece.right, first=piece.first)
        for piece in pieces
    ]


def close(made: np.ndarray, wanted: np.ndarray) -> None:
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-4)


def test_the_sound_is_the_published_one(
    vocoder: IndexVocoder, prompts: list[VoicePrompt], expected: Callable[[str], dict[str, Tensor]]
) -> None:
    golden = expected("gpt")
    for case in SOUNDS:
        frames = golden[f"{case}.fwd.latent"][0].numpy()
        for way in WAYS:
            made = vocode(vocoder, [VocoderChunk(frames, 0, 0, 0, prompts[0], 0)], way)[0]
            close(made.waveform, golden[f"{case}.wav"].flatten().numpy())
            assert made.state == {}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "schedule", [{"first": 1}, {"first": 7, "growth": 1.5, "maximum": 30}, {"first": 40, "maximum": 40}]
)
def test_chunks_add_up_to_the_whole(
    vocoder: IndexVocoder, prompts: list[VoicePrompt], spec: FamilySpec, way: str, schedule: dict[str, float]
) -> None:
    whole = VocoderChunk(latents(120, vocoder.frame_shape[0]), 0, 0, 0, prompts[0], 0)
    chunks = cut_up(whole, spec, **schedule)
    assert len(chunks) > 2
    made = [
        vocode(vocoder, [chunk], way, len(chunk.frames) + 5 * vocoder.paddable(chunk))[0].waveform
        for chunk in chunks
    ]
    close(np.concatenate(made), vocode(vocoder, [whole])[0].waveform)


@pytest.mark.parametrize("way", WAYS)
def test_chunks_cut_at_any_offset_give_the_whole(
    vocoder: IndexVocoder, prompts: list[VoicePrompt], spec: FamilySpec, way: str
) -> None:
    around = spec.left_context
    whole = VocoderChunk(latents(2 * around + 2, vocoder.frame_shape[0]), 0, 0, 0, prompts[1], 0)
    sound = vocode(vocoder, [whole])[0].waveform
    for start in range(len(whole.frames)):
        chunk = chunk_of(whole, start, start + 1, around)
        frames = len(chunk.frames) + 2 * vocoder.paddable(chunk)
        made = vocode(vocoder, [chunk], way, frames)[0].waveform
        close(made, sound[start * RATE : (start + 1) * RATE])


@pytest.mark.parametrize("way", WAYS)
def test_first_middle_and_last_chunks_of_different_speakers_share_a_batch(
    vocoder: IndexVocoder, prompts: list[VoicePrompt], spec: FamilySpec, way: str
) -> None:
    around = spec.left_context
    chunks, wanted = [], []
    for seed, (start, stop) in enumerate([(0, 20), (60, 75), (100, 130), (10, 30), (95, 99), (129, 130)]):
        whole = VocoderChunk(latents(130, vocoder.frame_shape[0], seed), 0, 0, 0, prompts[seed % 3], 0)
        chunks.append(chunk_of(whole, start, stop, around))
        wanted.append(vocode(vocoder, [whole])[0].waveform[start * RATE : stop * RATE])
    assert all(vocoder.paddable(chunk) for chunk in chunks)
    for made, own in zip(vocode(vocoder, chunks, way, frames=110, batch=8), wanted, strict=True):
        close(made.waveform, own)


def test_only_a_chunk_that_sees_both_ends_cannot_be_padded(
    vocoder: IndexVocoder, prompts: list[VoicePrompt], spec: FamilySpec
) -> None:
    around = spec.left_context
    whole = VocoderChunk(latents(2 * around + 10, vocoder.frame_shape[0]), 0, 0, 0, prompts[0], 0)
    length = len(whole.frames)
    for start, stop, paddable in (
        (0, length, False),
        (around - 1, around + 11, False),
        (0, length - around, True),
        (around, length, True),
        (around, length - around, True),
    ):
        chunk = chunk_of(whole, start, stop, around)
        assert vocoder.paddable(chunk) is paddable
        if not paddable:
            with pytest.raises(ValueError, match="does not fit"):
                vocoder.collate([chunk], 1, len(chunk.frames) + 1)
    with pytest.raises(ValueError, match="does not fit"):
        vocoder.collate([chunk], 1, len(chunk.frames) - 1)


def test_shapes_depend_on_the_padded_size_alone(
    vocoder: IndexVocoder, prompts: list[VoicePrompt], spec: FamilySpec
) -> None:
    """So a CUDA graph for a size serves every batch of that size."""
    around = spec.left_context
    whole = VocoderChunk(latents(150, vocoder.frame_shape[0]), 0, 0, 0, prompts[0], 0)
    shapes = set()
    for start, stop in ((0, 60), (50, 51), (100, 150), (30, 60)):
        inputs = vocoder.collate([chunk_of(whole, start, stop, around)], 2, 110)
        shapes.add(tuple((name, value.shape) for name, value in inputs.items()))
    assert len(shapes) == 1


def test_it_implements_the_vocoder_protocol(golden: Path, spec: FamilySpec) -> None:
    family = IndexFamily(IndexOptions(model_dir=golden / "checkpoint"))
    model: VocoderModel = family.vocoder(Device(torch.device("cpu"), "cpu", "cpu", torch.float32))
    whole = VocoderChunk(latents(3, model.frame_shape[0]), 0, 0, 0, family.example_prompt(), 0)
    made = model.split(model.forward(model.collate([whole], 1, 3)), [whole])[0].waveform
    assert made.shape == (3 * spec.samples_per_code,)
    assert np.abs(made).max() <= 1
