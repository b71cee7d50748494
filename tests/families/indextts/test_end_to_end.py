"""From text and a recording to samples in one process: the published code's results for the same checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile

from deployments.contract.options import DeviceOptions, FamilyOptions, GptOptions, ModelOptions
from deployments.contract.speech import GptRequest, Reference, Sampling, VocoderChunk, VoicePrompt
from deployments.engine.vocode.schedule import ChunkSchedule
from serve_app.backends.local import LocalBackend
from serve_app.synthesis.segment import segment_seed
from serve_app.synthesis.speech import Speech
from serve_app.synthesis.stream import Synthesizer
from tests.golden.indextts_set import LONG, SPOKEN

GREEDY = Sampling.of(temperature=0.0, top_k=30, top_p=0.8, repetition_penalty=10.0, max_tokens=24)
BRIEF = replace(GREEDY, max_tokens=10)


@pytest.fixture(scope="module")
def speaking(golden) -> Iterator[Callable[..., LocalBackend]]:
    """speaking(max_text_tokens_per_sentence=20, ...) -> a backend over the golden checkpoint"""
    backends: dict[str, LocalBackend] = {}

    def open_backend(**options: Any) -> LocalBackend:
        key = repr(sorted(options.items()))
        if key not in backends:
            options = {"model_dir": str(golden / "checkpoint"), "positions": "published"} | options
            family = FamilyOptions(name="indextts", options=options)
            backends[key] = LocalBackend(
                ModelOptions(family=family, device=DeviceOptions(preference="cpu"), gpt=GptOptions(slots=4))
            )
        return backends[key].wait()

    yield open_backend
    for backend in backends.values():
        backend.close()


@pytest.fixture
def recording(golden) -> tuple[np.ndarray, int]:
    waveform, rate = soundfile.read(golden / "reference.wav", dtype="float32", always_2d=True)
    return waveform.mean(axis=1), rate


async def pieces_of(
    backend: LocalBackend, speech: Speech, chunk_codes: int = 100, window: int = 3
) -> list[np.ndarray]:
    return [
        piece
        async for piece in Synthesizer(backend, window=window, chunks=ChunkSchedule(10, 2.0, chunk_codes))
        .stream(speech)
        .sound
    ]


async def frames_of(
    backend: LocalBackend, text: str, prompt: VoicePrompt, sampling: Sampling
) -> list[np.ndarray]:
    """The latents of each segment."""
    found = []
    for index, segment in enumerate(await backend.segments(text, None)):
        request = GptRequest(segment, prompt, replace(sampling, seed=segment_seed(sampling.seed, index)))
        runs = backend.generate(request, id=f"{text[:5]}.{index}", priority=0, admitted=True)
        found.append(np.concatenate([run.spoken async for run in runs]))
    return found


async def whole(backend: LocalBackend, frames: np.ndarray, prompt: VoicePrompt) -> np.ndarray:
    chunk = VocoderChunk(frames, 0, 0, 0, prompt, seed=0)
    return (await backend.vocode(chunk, id="whole", priority=0)).waveform


def same_pcm(found: np.ndarray, wanted: Any) -> None:
    pcm = np.clip(32767 * found, -32767, 32767).astype(np.int16).astype(int)
    assert pcm.shape == wanted[0].shape
    assert np.abs(pcm - wanted[0].numpy()).max() <= 2


@pytest.mark.parametrize("index", SPOKEN)
def test_a_sentence_has_the_published_samples(speaking, recording, cases, expected, index):
    async def run() -> np.ndarray:
        backend = speaking()
        prompt = await backend.encode_voice(Reference.of(*recording))
        return np.concatenate(
            await pieces_of(backend, Speech(cases["sentences"][index]["text"], prompt, GREEDY))
        )

    same_pcm(asyncio.run(run()), expected("e2e")[f"infer.s{index}.pcm16"])


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("limit", LONG)
def test_a_long_text_sentence_by_sentence_and_several_at_once(
    speaking, recording, cases, expected, window, limit
):
    async def run() -> np.ndarray:
        backend = speaking(max_text_tokens_per_sentence=limit)
        prompt = await backend.encode_voice(Reference.of(*recording))
        speech = Speech(cases["sentences"][-1]["text"], prompt, BRIEF)
        return np.concatenate(await pieces_of(backend, speech, window=window))

    same_pcm(asyncio.run(run()), expected("e2e")[f"infer.long{limit}.pcm16"])


@pytest.mark.parametrize("limit", LONG)
def test_neighbours_vocoded_together_equal_infer_fast(speaking, recording, cases, expected, limit):
    async def run() -> np.ndarray:
        backend = speaking(max_text_tokens_per_sentence=limit)
        prompt = await backend.encode_voice(Reference.of(*recording))
        latents = await frames_of(backend, cases["sentences"][-1]["text"], prompt, BRIEF)
        pairs = [np.concatenate(latents[index : index + 2]) for index in range(0, len(latents), 2)]
        return np.concatenate([await whole(backend, pair, prompt) for pair in pairs])

    same_pcm(asyncio.run(run()), expected("e2e")[f"infer_fast.long{limit}.pcm16"])


@pytest.mark.parametrize("positions", ["published", "trained"])
def test_streamed_equals_whole(speaking, shipped, recording, positions):
    sampling = Sampling.of(temperature=1.0, top_k=30, top_p=0.8, repetition_penalty=1.0, max_tokens=74)
    text = "今天是2025年1月11日，价格是12.5元。"

    async def run() -> tuple[list[np.ndarray], np.ndarray]:
        backend = speaking(positions=positions, model_dir=str(shipped / "checkpoint"))
        prompt = await backend.encode_voice(Reference.of(*recording))
        for seed in range(40):  # until one is long enough for chunks with context on both sides
            drawn = replace(sampling, seed=seed)
            (frames,) = await frames_of(backend, text, prompt, drawn)
            if len(frames) > 70:
                pieces = await pieces_of(backend, Speech(text, prompt, drawn), chunk_codes=12)
                return pieces, await whole(backend, frames, prompt)
        raise AssertionError("no long segment was drawn")

    pieces, waveform = asyncio.run(run())
    assert len(pieces) > 3
    np.testing.assert_allclose(np.concatenate(pieces), waveform, rtol=0, atol=1e-4)


def test_a_seed_reproduces_its_samples_and_another_changes_them(speaking, recording):
    async def run() -> list[np.ndarray]:
        backend = speaking()
        prompt = await backend.encode_voice(Reference.of(*recording))
        sampling = backend.spec.sampling({"repetition_penalty": 1.2}, max_tokens=30)
        speeches = [Speech("Where is the key?", prompt, replace(sampling, seed=seed)) for seed in (5, 5, 6)]
        return [np.concatenate(await pieces_of(backend, speech)) for speech in speeches]

    first, again, other = asyncio.run(run())
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[: len(other)], other[: len(first)])
