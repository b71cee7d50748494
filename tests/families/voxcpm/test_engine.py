"""VoxCPM under continuous batching: requests of all modes together, streams, resumed sequences, changing voices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks._decoding import decoded
from deployments.contract.options import DeviceOptions, FamilyOptions, GptOptions, ModelOptions
from deployments.contract.speech import (
    GptRequest,
    Reference,
    Run,
    Sampling,
    Segment,
    VocodedChunk,
    VocoderChunk,
    VoicePrompt,
)
from deployments.contract.work import WorkItem
from deployments.engine.decode import Decoder
from deployments.engine.vocode.schedule import ChunkSchedule
from serve_app.backends.local import LocalBackend
from serve_app.synthesis.segment import segment_seed
from serve_app.synthesis.speech import Speech
from serve_app.synthesis.stream import Synthesizer
from tests.families.voxcpm.conftest import CPU, VERSIONS, Golden, error_of

TEXTS = (
    "今天天气很好，我们一起去公园散步。",
    "Please speak slowly and clearly, thank you.",
    "你好，world! 这是 mixed 文本。",
    "语音合成技术正在快速发展。",
)
MODES = ((False, False), (True, False), (False, True), (True, True))  # continuation, reference
STEPS = 4


def prompt_of(golden: Golden, transcript: str | None = "Our system streams audio.") -> VoicePrompt:
    return golden.encoder.encode(Reference.of(*golden.recording("prompt"), transcript))


def mixed(golden: Golden) -> list[GptRequest]:
    """Eight requests that differ in mode, text, guidance, seed and length."""
    prompts = [prompt_of(golden), prompt_of(golden, "Speech synthesis turns text into sound.")]
    requests = []
    for row in range(8):
        continuation, reference = MODES[row % 4]
        controls = {
            "continuation": continuation,
            "reference": reference and golden.config.version == 2,
            "cfg_value": 1.0 + row / 4,
            "min_len": 9 + row,
        }
        text = TEXTS[row % 3]
        segment = Segment(text, np.array(golden.tokenizer.encode(text)))
        sampling = Sampling(seed=row, max_tokens=(10, 14, 30)[row % 3], controls=controls)
        requests.append(GptRequest(segment, prompts[row // 4], sampling))
    return requests


def decode(decoder: Decoder, *requests: GptRequest) -> list[Run]:
    found = decoded(decoder, [WorkItem(str(row), request) for row, request in enumerate(requests)])
    return [found[str(row)] for row in range(len(requests))]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_batch_of_all_modes_gives_what_each_gives_alone(golden, on_device, version):
    requests = mixed(golden(version))

    def run() -> tuple[list[Run], list[Run]]:
        decoder = Decoder(golden(version).gpt(8, STEPS), CPU)
        together = decode(decoder, *requests)
        assert decoder.stats()["mean_batch"] > 3
        return together, [decode(decoder, request)[0] for request in requests]

    together, alone = on_device(run)
    assert len({len(run) for run in alone}) > 3
    for one, other in zip(together, alone, strict=True):
        assert (len(one), one.cut) == (len(other), other.cut)
        np.testing.assert_array_equal(one.codes, other.codes)


@pytest.mark.parametrize("version", VERSIONS)
def test_in_bf16_the_first_patches_do_not_depend_on_the_batch(golden, on_device, version):
    """`test_bf16_makes_nearly_the_published_patch` compares such a patch with the published one."""
    requests, half = mixed(golden(version)), replace(CPU, dtype=torch.bfloat16, half=True)

    def run() -> tuple[list[Run], list[Run]]:
        decoder = Decoder(golden(version).gpt(8, STEPS, device=half), half)
        return decode(decoder, *requests), [decode(decoder, request)[0] for request in requests]

    for one, other in zip(*on_device(run), strict=True):
        assert np.isfinite(one.codes).all() and len(one) > 3
        assert error_of(one.codes[:1], other.codes[:1]) < 0.02


@pytest.mark.parametrize("version", VERSIONS)
def test_a_wrong_transcript_neither_fails_nor_runs_away(golden, on_device, version):
    request = mixed(golden(version))[0]
    segment = replace(request.segment, max_codes=12)
    wrong = [prompt_of(golden(version), transcript) for transcript in ("x", "不是这句话。" * 12)]
    asked = replace(request.sampling, max_tokens=60, controls={"reference": False})
    requests = [replace(request, segment=segment, prompt=prompt, sampling=asked) for prompt in wrong]
    for run in on_device(lambda: decode(Decoder(golden(version).gpt(2, STEPS), CPU), *requests)):
        assert np.isfinite(run.codes).all() and 4 <= len(run) <= 12


@pytest.mark.parametrize("version", VERSIONS)
def test_a_resumed_sequence_continues_with_the_same_bits(golden, on_device, version):
    request = mixed(golden(version))[7]

    def run() -> tuple[Run, list[Run]]:
        first = Decoder(golden(version).gpt(2, STEPS), CPU)
        (whole,) = decode(first, request)
        another = Decoder(golden(version).gpt(2, STEPS), CPU)  # of a replica that has not seen the voice
        return whole, [decode(another, request.resume([whole[:count]]))[0] for count in (1, 5)]

    whole, resumed = on_device(run)
    assert len(whole) > 6
    for run, count in zip(resumed, (1, 5), strict=True):
        np.testing.assert_array_equal(run.codes, whole.codes[count:])


def test_the_voice_is_embedded_once_and_its_cache_changes_no_bit(golden, on_device):
    """The prefix of a reference is copied into the slot of each further request."""
    request = replace(mixed(golden("v2"))[3], segment=mixed(golden("v2"))[0].segment)

    def run() -> tuple[list[int], list[Run]]:
        model = golden("v2").gpt(2, STEPS)
        decoder, encoder, sizes = Decoder(model, CPU), model.net.embed_patches, []

        def counted(patches):
            sizes.append(len(patches))
            return encoder(patches)

        model.net.embed_patches = counted
        runs = [decode(decoder, replace(request, sampling=replace(request.sampling, max_tokens=2)))[0]]
        sizes.clear()
        runs += decode(decoder, replace(request, sampling=replace(request.sampling, max_tokens=2)))
        return sizes, runs

    sizes, (first, again) = on_device(run)
    assert sizes == [1, 1]  # of the two steps
    np.testing.assert_array_equal(first.codes, again.codes)


def test_a_seed_gives_its_noise_and_another_seed_another(golden, on_device):
    request = mixed(golden("v15"))[0]

    def run() -> list[Run]:
        decoder = Decoder(golden("v15").gpt(2, STEPS), CPU)
        seeds = (5, 5, 6, 2**63 - 1)
        return [
            decode(decoder, replace(request, sampling=replace(request.sampling, seed=seed)))[0]
            for seed in seeds
        ]

    first, again, other, largest = on_device(run)
    np.testing.assert_array_equal(first.codes, again.codes)
    assert error_of(other.codes[:1], first.codes[:1]) > 0.1
    assert np.isfinite(largest.codes).all()


def test_min_len_and_max_len(golden, on_device):
    request = mixed(golden("v15"))[0]

    def lengths(**controls: int) -> int:
        asked = replace(request.sampling, max_tokens=60, controls={**request.sampling.controls, **controls})
        return len(decode(decoder_of(), replace(request, sampling=asked))[0])

    def decoder_of() -> Decoder:
        return Decoder(golden("v15").gpt(1, STEPS), CPU)

    assert on_device(lambda: lengths(max_len=1)) == 1
    assert on_device(lambda: lengths(min_len=1, max_len=4)) <= 4
    assert on_device(lambda: lengths(min_len=30)) >= 32


def test_a_segment_ends_at_the_codes_that_its_text_may_have(golden, on_device):
    request = mixed(golden("v15"))[0]
    request = replace(
        request,
        segment=replace(request.segment, max_codes=7),
        sampling=replace(request.sampling, max_tokens=100, controls={"min_len": 50, "continuation": False}),
    )
    (found,) = on_device(lambda: decode(Decoder(golden("v15").gpt(1, STEPS), CPU), request))
    assert (len(found), found.cut) == (7, True)


@pytest.fixture(scope="module")
def speaking(golden: Callable[[str], Golden]) -> Iterator[Callable[..., LocalBackend]]:
    """speaking(version, ...) -> a backend over that golden checkpoint"""
    backends: dict[str, LocalBackend] = {}

    def open_backend(version: str, **options: object) -> LocalBackend:
        key = repr((version, sorted(options.items())))
        if key not in backends:
            options = {"model_dir": str(golden(version).checkpoint)} | options
            family = FamilyOptions(name="voxcpm", options=options)
            backends[key] = LocalBackend(
                ModelOptions(family=family, device=DeviceOptions(preference="cpu"), gpt=GptOptions(slots=4))
            )
        return backends[key].wait()

    yield open_backend
    for backend in backends.values():
        backend.close()


@pytest.mark.parametrize("transcript", [None, "Our system streams audio."], ids=["reference", "both"])
def test_streamed_equals_whole(golden, speaking, transcript):
    """In every size of chunks, and as one call over all patches of the segment."""
    backend = speaking("v2")
    sampling = backend.spec.sampling({"min_len": 20}, seed=4, max_tokens=30)

    async def run() -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
        prompt = await backend.encode_voice(Reference.of(*golden("v2").recording("prompt"), transcript))
        sounds = []
        for schedule in (ChunkSchedule(1, 1.0, 1), ChunkSchedule(1, 2.0, 20), ChunkSchedule(5, 1.5, 9)):
            stream = Synthesizer(backend, chunks=schedule).stream(Speech(TEXTS[0], prompt, sampling))
            sounds.append([piece async for piece in stream.sound])
        (segment,) = await backend.segments(TEXTS[0], None)
        request = GptRequest(segment, prompt, replace(sampling, seed=segment_seed(sampling.seed, 0)))
        runs = [run async for run in backend.generate(request, id="whole", priority=0, admitted=True)]
        frames = np.concatenate([run.spoken for run in runs])
        chunk = VocoderChunk(frames, 0, 0, 0, prompt, seed=0, controls=sampling.controls)
        whole = (await backend.vocode(chunk, id="sound", priority=0)).waveform
        return sounds[0], [np.concatenate(pieces) for pieces in sounds], whole

    single, sounds, whole = asyncio.run(run())
    assert len(single) > 20
    for sound in sounds:
        assert error_of(sound, whole) < 1e-5


def test_a_lost_state_is_computed_again_to_the_same_bits(golden, speaking):
    """As if the vocoder's replica had died between two chunks."""
    backend = speaking("v2")
    sampling = backend.spec.sampling({"min_len": 8}, seed=4, max_tokens=12)
    lost: list[str] = []

    async def spoken(loses: bool) -> np.ndarray:
        prompt = await backend.encode_voice(Reference.of(*golden("v2").recording("prompt"), "Our system."))
        vocode = backend.vocode

        async def losing(chunk: VocoderChunk, **about: Any) -> VocodedChunk:
            if chunk.first == 3 and loses and not chunk.cuts:
                lost.append(about["id"])
                backend.workers["vocoder"]._states.clear()
            return await vocode(chunk, **about)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backend, "vocode", losing)
            stream = Synthesizer(backend, chunks=ChunkSchedule(1, 2.0, 4)).stream(
                Speech(TEXTS[0], prompt, sampling)
            )
            return np.concatenate([piece async for piece in stream.sound])

    undisturbed, disturbed = asyncio.run(spoken(False)), asyncio.run(spoken(True))
    assert len(lost) == 1
    np.testing.assert_array_equal(disturbed, undisturbed)


def test_many_voices_one_after_another_and_at_once(golden, speaking):
    """Changing the recording changes neither the sound of another voice nor that of a later request."""
    backend = speaking("v15")
    waveform, rate = golden("v15").recording("prompt")
    sampling = backend.spec.sampling(seed=1, max_tokens=3)

    async def speak(index: int) -> bytes:
        part = waveform[index * 400 : index * 400 + rate // 2]
        prompt = await backend.encode_voice(Reference.of(part, rate, f"Speech {index}"))
        stream = Synthesizer(backend).stream(Speech(TEXTS[index % 4], prompt, sampling))
        return np.concatenate([piece async for piece in stream.sound]).tobytes()

    async def run() -> tuple[list[bytes], list[bytes]]:
        alone = [await speak(index) for index in range(12)]
        return alone, await asyncio.gather(*(speak(index) for index in reversed(range(12))))

    alone, at_once = asyncio.run(run())
    assert len(set(alone)) == 12
    assert at_once == alone[::-1]
